package ratelimit

import "net/netip"

// unknownAddress is the key of everybody whose address is not known: one strict
// bucket for all of them, never none.
const unknownAddress = "unknown"

// AddressKey returns the key of one client: an IPv4 address, or the /64 of an
// IPv6 address, as one subscriber has all of it. An IPv4-mapped address
// is the IPv4 one and a zone is dropped. The zero Addr gives "unknown".
func AddressKey(addr netip.Addr) string {
	return prefixKey(addr, 32, 64)
}

// NetworkKey returns the key of a client's neighbourhood: the /24 of an IPv4
// address, the /48 of an IPv6 address (R-35, bucket B3). The zero Addr gives
// "unknown".
func NetworkKey(addr netip.Addr) string {
	return prefixKey(addr, 24, 48)
}

func prefixKey(addr netip.Addr, bits4, bits6 int) string {
	addr = addr.Unmap().WithZone("")
	bits := bits6
	if addr.Is4() {
		bits = bits4
	}
	prefix, err := addr.Prefix(bits)
	if err != nil || !prefix.IsValid() {
		return unknownAddress
	}
	return prefix.String()
}

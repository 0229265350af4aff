package httpserver

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"latchkey/internal/session"
	"latchkey/internal/token"
)

func TestClientAddress(t *testing.T) {
	proxies := prefixes("10.0.0.0/8", "fd00::/8", "127.0.0.1/32")
	for reason, test := range map[string]struct {
		peer      string
		forwarded []string
		proxies   []netip.Prefix
		want      string // "" for none
	}{
		"the peer itself":                                {"192.0.2.7:1234", nil, proxies, "192.0.2.7"},
		"by default nobody is a proxy":                   {"10.0.0.1:1234", []string{"192.0.2.7"}, nil, "10.0.0.1"},
		"a stranger cannot say who he is":                {"192.0.2.7:1234", []string{"198.51.100.1"}, proxies, "192.0.2.7"},
		"a proxy is believed":                            {"10.0.0.1:1234", []string{"198.51.100.1"}, proxies, "198.51.100.1"},
		"a proxy without the header is the client":       {"10.0.0.1:1234", nil, proxies, "10.0.0.1"},
		"the left end is the client's own invention":     {"10.0.0.1:1234", []string{"203.0.113.9, 198.51.100.1"}, proxies, "198.51.100.1"},
		"two proxies":                                    {"10.0.0.1:1234", []string{"203.0.113.9, 198.51.100.1, 10.0.0.2"}, proxies, "198.51.100.1"},
		"two headers are one list":                       {"10.0.0.1:1234", []string{"203.0.113.9", "198.51.100.1,10.0.0.2"}, proxies, "198.51.100.1"},
		"a second header by a proxy that appends one":    {"10.0.0.1:1234", []string{"203.0.113.9, 10.9.9.9", "198.51.100.1"}, proxies, "198.51.100.1"},
		"only proxies: the farthest of them":             {"10.0.0.1:1234", []string{"10.0.0.3, 10.0.0.2"}, proxies, "10.0.0.3"},
		"garbage ends the walk":                          {"10.0.0.1:1234", []string{"198.51.100.1, unknown"}, proxies, "10.0.0.1"},
		"garbage behind a proxy ends the walk there":     {"10.0.0.1:1234", []string{"198.51.100.1, <script>, 10.0.0.2"}, proxies, "10.0.0.2"},
		"garbage to the left of the client is not read":  {"10.0.0.1:1234", []string{"<script>, 198.51.100.1"}, proxies, "198.51.100.1"},
		"an empty hop ends the walk":                     {"10.0.0.1:1234", []string{"198.51.100.1, , 10.0.0.2"}, proxies, "10.0.0.2"},
		"an empty header":                                {"10.0.0.1:1234", []string{""}, proxies, "10.0.0.1"},
		"commas only":                                    {"10.0.0.1:1234", []string{",,,"}, proxies, "10.0.0.1"},
		"a name is no address":                           {"10.0.0.1:1234", []string{"client.example.com"}, proxies, "10.0.0.1"},
		"a hop with a port":                              {"10.0.0.1:1234", []string{"198.51.100.1:443"}, proxies, "198.51.100.1"},
		"blanks around a hop":                            {"10.0.0.1:1234", []string{"  198.51.100.1  "}, proxies, "198.51.100.1"},
		"an octal lookalike is garbage":                  {"10.0.0.1:1234", []string{"198.051.100.1"}, proxies, "10.0.0.1"},
		"IPv6":                                           {"[2001:db8::1]:1234", nil, proxies, "2001:db8::1"},
		"an IPv6 proxy":                                  {"[fd00::1]:1234", []string{"2001:db8::1"}, proxies, "2001:db8::1"},
		"an IPv6 hop in brackets":                        {"[fd00::1]:1234", []string{"[2001:db8::1]"}, proxies, "2001:db8::1"},
		"an IPv6 hop in brackets with a port":            {"[fd00::1]:1234", []string{"[2001:db8::1]:443"}, proxies, "2001:db8::1"},
		"a peer in mapped form":                          {"[::ffff:192.0.2.7]:1234", nil, proxies, "192.0.2.7"},
		"a proxy in mapped form is the same proxy":       {"[::ffff:10.0.0.1]:1234", []string{"::ffff:198.51.100.1"}, proxies, "198.51.100.1"},
		"a zone is the machine's own word":               {"[fe80::1%eth0]:1234", nil, proxies, "fe80::1"},
		"a zone in a hop":                                {"10.0.0.1:1234", []string{"fe80::1%25en0"}, proxies, "fe80::1"},
		"a zone does not make a stranger of a proxy":     {"[fd00::1%eth0]:1234", []string{"192.0.2.7"}, proxies, "192.0.2.7"},
		"a Unix socket has no address":                   {"@", nil, proxies, ""},
		"and nobody behind it is believed":               {"", []string{"198.51.100.1"}, proxies, ""},
		"not even where everybody is a proxy":            {"/run/latchkey.sock", []string{"198.51.100.1"}, prefixes("0.0.0.0/0", "::/0"), ""},
		"a peer that is no address":                      {"pipe", []string{"198.51.100.1"}, proxies, ""},
		"a proxy on this machine":                        {"127.0.0.1:5", []string{"192.0.2.7"}, proxies, "192.0.2.7"},
		"a client that forwards a proxy's address":       {"192.0.2.7:1234", []string{"10.0.0.1"}, proxies, "192.0.2.7"},
		"a hop that names a network is garbage":          {"10.0.0.1:1234", []string{"198.51.100.0/24"}, proxies, "10.0.0.1"},
		"RFC 7239's form belongs into another header":    {"10.0.0.1:1234", []string{"for=198.51.100.1"}, proxies, "10.0.0.1"},
		"a hop too long for an address ends the walk":    {"10.0.0.1:1234", []string{"198.51.100.1111"}, proxies, "10.0.0.1"},
		"a hop of control characters is garbage as well": {"10.0.0.1:1234", []string{"198.51.100.1\x00"}, proxies, "10.0.0.1"},
	} {
		t.Run(reason, func(t *testing.T) {
			want := netip.Addr{}
			if test.want != "" {
				want = netip.MustParseAddr(test.want)
			}
			if got := clientAddress(test.peer, test.forwarded, test.proxies); got != want {
				t.Errorf("%v, want %v", got, want)
			}
		})
	}
}

// who is no proxy says nothing by X-Forwarded-For, and what stands left of the first hop
// that is no proxy changes nothing: there everybody can write what they like.
func TestForgedForwarding(t *testing.T) {
	proxies := prefixes("10.0.0.0/8", "fd00::/8", "127.0.0.1/32")
	proxy := rapid.SampledFrom([]string{"10.0.0.1", "10.9.9.9", "127.0.0.1", "fd00::1", "[fd00::2]", "::ffff:10.0.0.2", "10.0.0.3:443", "[fd00::3%eth0]:443"})
	stranger := rapid.Custom(func(rt *rapid.T) string {
		size := rapid.SampledFrom([]int{4, 16}).Draw(rt, "size")
		a, _ := netip.AddrFromSlice(rapid.SliceOfN(rapid.Byte(), size, size).Draw(rt, "address"))
		if contains(proxies, a.Unmap()) {
			rt.Skip("a proxy")
		}
		return a.String()
	})
	garbage := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"", " ", "unknown", "for=192.0.2.1", "10.0.0.1.1", "192.0.2.1;"})).
		Filter(func(text string) bool {
			return !strings.Contains(text, ",") && !parseHop(strings.TrimSpace(text)).IsValid()
		})
	anything := rapid.SliceOf(rapid.OneOf(proxy, stranger, garbage, rapid.String()))
	rapid.Check(t, func(rt *rapid.T) {
		left := anything.Draw(rt, "what anybody can write")
		peer := stranger.Draw(rt, "peer")
		if got := clientAddress(net.JoinHostPort(peer, "1234"), left, proxies); got != parseHop(peer) {
			rt.Fatalf("the stranger %s is taken for %v", peer, got)
		}

		hop, want := stranger.Draw(rt, "client"), netip.Addr{}
		between := rapid.SliceOf(proxy).Draw(rt, "proxies")
		if rapid.Bool().Draw(rt, "whom nobody can tell") {
			hop = garbage.Draw(rt, "hop")
			want = parseHop(append(between, "10.0.0.9")[0])
		} else {
			want = parseHop(hop)
		}
		// A proxy may append to the list or begin another.
		hops := slices.Concat(left, []string{hop}, between)
		cut := rapid.IntRange(0, len(hops)-1).Draw(rt, "cut")
		for _, forwarded := range [][]string{hops, {strings.Join(hops, ", ")}, {strings.Join(hops[:cut], ","), strings.Join(hops[cut:], ",")}} {
			if got := clientAddress("10.0.0.9:1234", forwarded, proxies); got != want {
				rt.Fatalf("%q: %v, want %v", forwarded, got, want)
			}
		}
	})
}

func TestClientReachesTheDomain(t *testing.T) {
	cfg := production()
	cfg.TrustedProxies = prefixes("192.0.2.0/24") // httptest's peer is 192.0.2.1
	f := newFixture(cfg)
	f.send("POST", "/graphql", "{}", "X-Forwarded-For: 203.0.113.9", "X-Forwarded-For: 198.51.100.1", "User-Agent: agent\x7f\t\xff"+string(make([]byte, 300)))
	if got := f.api.last.Client; got.Address.String() != "198.51.100.1" || got.UserAgent != "agent" {
		t.Errorf("%+q", got)
	}
	for _, header := range []string{"X-Real-IP", "Forwarded", "True-Client-IP", "CF-Connecting-IP", "X-Client-IP"} {
		f.send("POST", "/graphql", "{}", header+": 203.0.113.9")
		if got := f.api.last.Client.Address.String(); got != "192.0.2.1" {
			t.Errorf("%s is believed: %s", header, got)
		}
	}
}

func TestBearer(t *testing.T) {
	for reason, test := range map[string]struct {
		headers []string
		want    error
	}{
		"no header":                          {nil, session.ErrNoToken},
		"a good token":                       {[]string{"Authorization: Bearer good"}, nil},
		"the scheme has no case":             {[]string{"Authorization: bEARER good"}, nil},
		"blanks around":                      {[]string{"Authorization:   Bearer   good  "}, nil},
		"an expired one":                     {[]string{"Authorization: Bearer expired"}, token.ErrAccessExpired},
		"one of an ended session":            {[]string{"Authorization: Bearer ended"}, session.ErrRevoked},
		"garbage":                            {[]string{"Authorization: Bearer x.y.z"}, token.ErrAccessInvalid},
		"the word alone":                     {[]string{"Authorization: Bearer"}, session.ErrNoToken},
		"the word and a blank":               {[]string{"Authorization: Bearer "}, session.ErrNoToken},
		"another scheme is not ours":         {[]string{"Authorization: Basic Z29vZA=="}, session.ErrNoToken},
		"another scheme with our token":      {[]string{"Authorization: DPoP good"}, session.ErrNoToken},
		"a token without a scheme":           {[]string{"Authorization: good"}, session.ErrNoToken},
		"two tokens in one header":           {[]string{"Authorization: Bearer good, Bearer good"}, token.ErrAccessInvalid},
		"two words":                          {[]string{"Authorization: Bearer good good"}, token.ErrAccessInvalid},
		"two headers":                        {[]string{"Authorization: Bearer good", "Authorization: Bearer good"}, token.ErrAccessInvalid},
		"two headers, one of another scheme": {[]string{"Authorization: Basic x", "Authorization: Bearer good"}, token.ErrAccessInvalid},
		"two headers, one empty":             {[]string{"Authorization: Bearer good", "Authorization: "}, token.ErrAccessInvalid},
		"an X-header":                        {[]string{"X-Access-Token: good"}, session.ErrNoToken},
		"a cookie":                           {[]string{"Cookie: access_token=good; Authorization=Bearer good"}, session.ErrNoToken},
	} {
		t.Run(reason, func(t *testing.T) {
			f := newFixture(production())
			res := f.send("POST", "/graphql?access_token=good", `access_token=good`, test.headers...)
			if res.StatusCode != 200 || f.api.calls != 1 {
				t.Fatalf("status %d: login and refresh would be refused", res.StatusCode)
			}
			if got := f.api.last; !errors.Is(got.AuthErr, test.want) || (got.Principal.UserID == uuid.Max) != (test.want == nil) {
				t.Errorf("%v, %+v", got.AuthErr, got.Principal)
			}
		})
	}
}

package password

import (
	"io/fs"
	"math"
	"runtime/debug"
	"strconv"
	"strings"
)

// unknownMemory is assumed where the system does not say how much there is.
const unknownMemory = 512 << 20

// places returns how many hashes fit: no more than processors, no more than a
// quarter of the memory, and at least one.
func places(memoryKiB uint32, processors int, available uint64) int {
	fit := available / 4 / (uint64(memoryKiB) << 10)
	return max(1, int(min(uint64(processors), fit)))
}

// availableMemory returns the smallest limit in bytes that applies to this
// process: of the machine, of its container (cgroup 2 and 1) and GOMEMLIMIT.
// root is the root of the file system.
func availableMemory(root fs.FS) uint64 {
	least := uint64(debug.SetMemoryLimit(-1)) // a negative limit only asks
	for _, name := range []string{"sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		if n, err := strconv.ParseUint(strings.TrimSpace(contents(root, name)), 10, 64); err == nil && n > 0 {
			least = min(least, n)
		}
	}
	for line := range strings.Lines(contents(root, "proc/meminfo")) {
		field := strings.Fields(line)
		if len(field) != 3 || field[0] != "MemTotal:" || field[2] != "kB" {
			continue
		}
		if n, err := strconv.ParseUint(field[1], 10, 64); err == nil && n > 0 {
			least = min(least, n<<10)
		}
	}
	if least == math.MaxInt64 {
		return unknownMemory
	}
	return least
}

func contents(root fs.FS, name string) string {
	b, err := fs.ReadFile(root, name)
	if err != nil {
		return ""
	}
	return string(b)
}

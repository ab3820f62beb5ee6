package meter

import (
	"fmt"
	"os"
	"strings"
)

// calls returns the read and write calls of this process so far, on Linux.
func calls() (n int64) {
	text, err := os.ReadFile("/proc/self/io")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		var reads, writes int64
		_, _ = fmt.Sscanf(line, "syscr: %d", &reads)
		_, _ = fmt.Sscanf(line, "syscw: %d", &writes)
		n += reads + writes
	}
	return n
}

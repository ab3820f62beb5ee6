// Package meter measures a load: messages per second, and the processor time and
// allocations of this process per message.
package meter

import (
	"runtime"
	"syscall"
	"time"
)

// Sample is one measurement.
type Sample struct {
	// Rate is messages per second.
	Rate float64
	// CPU is the user and system time of this process per message, in µs.
	CPU float64
	// Allocs and Bytes are the heap allocations of this process per message.
	Allocs, Bytes float64
	// Calls are the read and write system calls of this process per message; 0 if the
	// system does not count them.
	Calls float64
	// Reorders counts messages that arrived before an older one of their topic.
	Reorders int64
	// Lost is the share of sent messages that were not handled.
	Lost float64
}

// point is the state of the process at one moment.
type point struct {
	at     time.Time
	cpu    time.Duration
	allocs uint64
	bytes  uint64
	calls  int64
	count  int64
}

func now(count func() int64) point {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return point{
		at: time.Now(), cpu: time.Duration(u.Utime.Nano() + u.Stime.Nano()),
		allocs: m.Mallocs, bytes: m.TotalAlloc, calls: calls(), count: count(),
	}
}

func between(a, b point) Sample {
	n := float64(b.count - a.count)
	if n <= 0 {
		return Sample{}
	}
	return Sample{
		Rate: n / b.at.Sub(a.at).Seconds(), CPU: float64((b.cpu - a.cpu).Microseconds()) / n,
		Allocs: float64(b.allocs-a.allocs) / n, Bytes: float64(b.bytes-a.bytes) / n,
		Calls: float64(b.calls-a.calls) / n,
	}
}

// While measures whatever runs, for d, after a warm-up.
func While(warmUp, d time.Duration, count func() int64) Sample {
	runtime.GC()
	time.Sleep(warmUp)
	a := now(count)
	time.Sleep(d)
	return between(a, now(count))
}

// Run measures the whole run of f.
func Run(count func() int64, f func() error) (Sample, error) {
	runtime.GC()
	a := now(count)
	err := f()
	return between(a, now(count)), err
}

// Package meter measures a load for a while: messages per second, processor
// time and allocations per message of this process.
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
	// CPU is user and system time of this process per message, in µs.
	CPU float64
	// Allocs and Bytes are heap allocations of this process per message.
	Allocs, Bytes float64
	// Calls are read and write calls of the system by this process per
	// message; 0 where the system does not count them.
	Calls float64
	// Reorders counts messages that came before an older one of their topic.
	Reorders int64
	// Lost is the share of messages that came and were not handled.
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

// While measures for d what goes on, after letting it warm up.
func While(warmUp, d time.Duration, count func() int64) Sample {
	runtime.GC()
	time.Sleep(warmUp)
	a := now(count)
	time.Sleep(d)
	return between(a, now(count))
}

// Run measures f from begin to end.
func Run(count func() int64, f func() error) (Sample, error) {
	runtime.GC()
	a := now(count)
	err := f()
	return between(a, now(count)), err
}

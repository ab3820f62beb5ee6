package faultmatrix_test

import (
	"runtime"
	"runtime/debug"
	"time"
)

// liveHeap returns the heap in use after a collection.
func liveHeap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// meter holds the maxima of samples.
type meter struct {
	heap       int64 // growth since the start
	goroutines int
	queued     int
}

// measure takes a sample every few milliseconds until done returns nil.
func (h *harness) measure(queued func() int, done func() error) (m meter) {
	h.Helper()
	debug.FreeOSMemory()
	before := liveHeap()
	deadline := time.Now().Add(4 * patience)
	for {
		m.heap = max(m.heap, liveHeap()-before)
		m.goroutines = max(m.goroutines, h.goroutines())
		m.queued = max(m.queued, queued())
		err := done()
		if err == nil {
			return m
		}
		if time.Now().After(deadline) {
			h.Fatalf("not done: %v", err)
		}
		pause(50 * time.Millisecond)
	}
}

const mebi = 1 << 20

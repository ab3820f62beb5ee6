package soak

import (
	"fmt"
	"os"
	"runtime"
	"sync"
	"testing"
)

// Standalone is a [testing.TB] for a program that is not a test. Close ends what mqtttest has
// started for it, and a failure ends the current function of Main.
type Standalone struct {
	testing.TB // nil; provides the unexported method of the interface

	mu       sync.Mutex
	cleanups []func()
	failed   bool
}

// Main runs f and returns the exit code of the program: 1 when f failed.
func (s *Standalone) Main(f func(tb testing.TB)) int {
	done := make(chan struct{})
	go func() { // FailNow ends this goroutine
		defer close(done)
		defer s.close()
		f(s)
	}()
	<-done
	if s.Failed() {
		return 1
	}
	return 0
}

func (s *Standalone) close() {
	for {
		s.mu.Lock()
		n := len(s.cleanups)
		if n == 0 {
			s.mu.Unlock()
			return
		}
		f := s.cleanups[n-1]
		s.cleanups = s.cleanups[:n-1]
		s.mu.Unlock()
		f()
	}
}

// Cleanup implements testing.TB.
func (s *Standalone) Cleanup(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cleanups = append(s.cleanups, f)
}

// TempDir implements testing.TB.
func (s *Standalone) TempDir() string {
	dir, err := os.MkdirTemp("", "chain-")
	if err != nil {
		s.Fatalf("%v", err)
	}
	s.Cleanup(func() {
		if s.Failed() {
			s.Logf("the logs are in %s", dir)
			return
		}
		_ = os.RemoveAll(dir)
	})
	return dir
}

// Failed implements testing.TB.
func (s *Standalone) Failed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed
}

// Fail implements testing.TB.
func (s *Standalone) Fail() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed = true
}

// FailNow implements testing.TB.
func (s *Standalone) FailNow() {
	s.Fail()
	runtime.Goexit()
}

// Helper implements testing.TB.
func (s *Standalone) Helper() {}

// Name implements testing.TB.
func (s *Standalone) Name() string { return "chain" }

// Log implements testing.TB.
func (s *Standalone) Log(args ...any) { _, _ = fmt.Fprintln(os.Stderr, args...) }

// Logf implements testing.TB.
func (s *Standalone) Logf(format string, args ...any) { s.Log(fmt.Sprintf(format, args...)) }

// Error implements testing.TB.
func (s *Standalone) Error(args ...any) { s.Log(args...); s.Fail() }

// Errorf implements testing.TB.
func (s *Standalone) Errorf(format string, args ...any) { s.Logf(format, args...); s.Fail() }

// Fatal implements testing.TB.
func (s *Standalone) Fatal(args ...any) { s.Log(args...); s.FailNow() }

// Fatalf implements testing.TB.
func (s *Standalone) Fatalf(format string, args ...any) { s.Logf(format, args...); s.FailNow() }

// Skip implements testing.TB. A run that cannot be carried out is a failure.
func (s *Standalone) Skip(args ...any) { s.Fatal(args...) }

// Skipf implements testing.TB. A run that cannot be carried out is a failure.
func (s *Standalone) Skipf(format string, args ...any) { s.Fatalf(format, args...) }

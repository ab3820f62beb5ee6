package data

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

var errNotReady = errors.New("not ready")

func TestHoldUntilSubscribed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h, ready := NewHold(), make(chan struct{})
		passed := make(chan error, 2)
		for range 2 {
			go func() { passed <- h.Wait(t.Context()) }()
		}
		synctest.Wait()
		var calls atomic.Int64
		h.Until(func(ctx context.Context) error {
			calls.Add(1)
			select {
			case <-ready:
				return nil
			case <-ctx.Done():
				return errNotReady
			}
		})
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := h.Wait(short); !errors.Is(err, errNotReady) {
			t.Errorf("got %v before it is ready", err)
		}
		if len(passed) != 0 {
			t.Error("let go before it is ready")
		}
		close(ready)
		for range 2 {
			if err := <-passed; err != nil {
				t.Error(err)
			}
		}
		before := calls.Load()
		if err := h.Wait(t.Context()); err != nil || calls.Load() != before {
			t.Errorf("asked again once it was ready: %v", err)
		}
	})
}

func TestHoldNothingBack(t *testing.T) {
	t.Parallel()
	h := NewHold()
	h.Until(nil)
	h.Until(func(context.Context) error { return errNotReady })
	if err := h.Wait(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestHoldOfAProcessThatNeverStarts(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := NewHold().Wait(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

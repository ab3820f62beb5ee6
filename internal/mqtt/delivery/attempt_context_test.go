package delivery

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

type ctxKey struct{}

func TestAttemptContextEnds(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		end  func(c *attemptContext, cancel context.CancelFunc)
		want error
	}{
		{"deadline", func(*attemptContext, context.CancelFunc) { time.Sleep(time.Second) }, context.DeadlineExceeded},
		{"parent", func(_ *attemptContext, cancel context.CancelFunc) { cancel() }, context.Canceled},
		{"attempt over", func(c *attemptContext, _ context.CancelFunc) { c.end() }, context.Canceled},
	}
	for _, tt := range tests {
		for _, early := range []bool{true, false} { // call Done before or after the end
			t.Run(tt.name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					parent, cancel := context.WithCancel(context.WithValue(t.Context(), ctxKey{}, "v"))
					defer cancel()
					c := new(attemptContext)
					c.begin(parent, now()+time.Second)
					defer c.end()
					var child context.Context
					if early {
						var stop context.CancelFunc
						child, stop = context.WithCancel(context.WithValue(c, ctxKey{}, "child"))
						defer stop()
					}
					if err := c.Err(); err != nil {
						t.Fatalf("Err = %v before the end", err)
					}
					tt.end(c, cancel)
					synctest.Wait()
					if err := c.Err(); !errors.Is(err, tt.want) {
						t.Errorf("Err = %v, want %v", err, tt.want)
					}
					<-c.Done()
					c.end()
					if err := c.Err(); !errors.Is(err, tt.want) {
						t.Errorf("Err = %v later, want %v", err, tt.want)
					}
					if err := context.Cause(c); !errors.Is(err, tt.want) {
						t.Errorf("Cause = %v, want %v", err, tt.want)
					}
					if child != nil {
						<-child.Done()
						if err := child.Err(); !errors.Is(err, tt.want) {
							t.Errorf("child: Err = %v, want %v", err, tt.want)
						}
					}
					if v := c.Value(ctxKey{}); v != "v" {
						t.Errorf("Value = %v", v)
					}
				})
			})
		}
	}
}

func TestAttemptContextKeepsAnEarlierDeadline(t *testing.T) {
	t.Parallel()
	parent, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c := new(attemptContext)
	c.begin(parent, now()+time.Hour)
	defer c.end()
	if d, ok := c.Deadline(); !ok || time.Until(d) > time.Minute {
		t.Errorf("Deadline = %v, %v", d, ok)
	}
}

// Contexts derived from an attempt's context are linked to it without a
// goroutine for each.
func TestAttemptContextNeedsNoGoroutine(t *testing.T) {
	parent, cancel := context.WithCancel(t.Context())
	defer cancel()
	c := new(attemptContext)
	c.begin(parent, now()+time.Hour)
	defer c.end()
	before := runtime.NumGoroutine()
	for range 50 {
		child, stop := context.WithTimeout(context.WithValue(c, ctxKey{}, 1), time.Minute)
		defer stop()
		if child.Err() != nil {
			t.Fatal(child.Err())
		}
	}
	if n := runtime.NumGoroutine() - before; n > 0 {
		t.Errorf("%d goroutines more", n)
	}
}

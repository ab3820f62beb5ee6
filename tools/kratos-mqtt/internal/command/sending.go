package command

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/message"
	"github.com/kratos-mqtt/kratos-mqtt/tools/kratos-mqtt/internal/terminal"
)

// sending keeps many messages in flight. Its methods are for one goroutine.
type sending struct {
	publisher *mqttbroker.Publisher
	progress  *terminal.Progress
	flying    sync.WaitGroup
	begun     int                   // messages so far
	failed    atomic.Pointer[error] // of the first message that failed
}

// send publishes a payload and returns once it is in flight. Its error may be that of an
// earlier message.
func (s *sending) send(ctx context.Context, topic string, payload []byte, opts ...event.CallOption) error {
	return s.begin(func(done func(error)) error { return s.publisher.PublishAsync(ctx, topic, payload, done, opts...) })
}

// message is send for a message that is sent as it is.
func (s *sending) message(ctx context.Context, m *message.Message) error {
	return s.begin(func(done func(error)) error { return s.publisher.Send(ctx, m, done) })
}

func (s *sending) begin(publish func(done func(error)) error) error {
	if failed := s.failed.Load(); failed != nil {
		return *failed
	}
	s.flying.Add(1)
	s.begun++
	number := s.begun
	err := publish(func(err error) {
		if err != nil {
			err = fmt.Errorf("message %d: %w", number, err)
			s.failed.CompareAndSwap(nil, &err)
		} else {
			s.progress.Add(1)
		}
		s.flying.Done()
	})
	if err != nil {
		s.flying.Done()
		return fmt.Errorf("message %d: %w", number, err)
	}
	return nil
}

// wait waits until no message is in flight or ctx ends. It returns err, or else the first
// failure.
func (s *sending) wait(ctx context.Context, err error) error {
	over := make(chan struct{})
	go func() { // ends when the publisher stops at the latest
		s.flying.Wait()
		close(over)
	}()
	select {
	case <-over:
	case <-ctx.Done():
	}
	if failed := s.failed.Load(); err == nil && failed != nil {
		err = *failed
	}
	return err
}

// limiter returns a limit of so many a second; 0 means none.
func limiter(each float64) *rate.Limiter {
	if each > 0 {
		return rate.NewLimiter(rate.Limit(each), 1+int(each/50)) // timers are too coarse for single ones
	}
	return rate.NewLimiter(rate.Inf, 1)
}

// until waits for a moment.
func until(ctx context.Context, moment time.Time) error {
	d := time.Until(moment)
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

package faultmatrix_test

import (
	"context"
	"errors"
	"sync/atomic"
	"syscall"
	"testing"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
)

// badDisk is a store on a disk that fails while err is set.
type badDisk struct {
	outbox.Store
	err atomic.Pointer[error]
}

func (f *badDisk) broken() error {
	if err := f.err.Load(); err != nil {
		return *err
	}
	return nil
}

// Append implements outbox.Store.
func (f *badDisk) Append(ctx context.Context, entries ...*outbox.Entry) error {
	if err := f.broken(); err != nil {
		return err
	}
	return f.Store.Append(ctx, entries...)
}

// Stats implements outbox.Store.
func (f *badDisk) Stats(ctx context.Context) (outbox.Stats, error) {
	st, err := f.Store.Stats(ctx)
	return st, errors.Join(err, f.broken())
}

// Row 24: while the disk of the outbox fails or is read-only, a publish fails at once, with
// an error that the message may have been stored. Health reports the cause. Messages accepted
// before and afterwards arrive.
func TestFault_24_OutboxFails(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(h *harness) {
		const messages = 50
		b := h.mosquitto()
		h.subscriber(b.URL(), "-sub", h.name+"/data/+")
		file, _ := h.fileOutbox(h.outboxPath(), 0)
		store := &badDisk{Store: file}
		p := h.publisher(b.URL(), "-pub", mqttbroker.WithOutbox(store))
		next := 0
		for _, disk := range []error{syscall.EIO, syscall.EROFS} {
			if failed, err := p.accept(h.name+"/data", next, messages); failed > 0 {
				h.Fatalf("%d publishes failed: %v", failed, err)
			}
			next += messages
			store.err.Store(&disk)
			failed, err := p.accept(h.name+"/data", next, messages)
			next += messages
			if failed != messages {
				h.Errorf("%v: %d of %d publishes failed", disk, failed, messages)
			}
			if e := h.wantReason(err, event.ReasonOutboxFailed); !e.MayHaveBeenSent || e.Code() != 503 || !errors.Is(e, disk) {
				h.Errorf("%+v", e)
			}
			h.eventually(func() error {
				if o := p.health().Outbox; !errors.Is(o.Err, disk) {
					return errors.New("health does not show that the outbox fails")
				}
				return nil
			})
			store.err.Store(nil)
		}
		if failed, err := p.accept(h.name+"/data", next, messages); failed > 0 {
			h.Fatalf("%d publishes failed: %v", failed, err)
		}
		p.emptied()
		if rep := h.settled(); len(rep.Recovered) > 0 {
			h.Errorf("%d messages arrived that were refused", len(rep.Recovered))
		}
		h.eventually(func() error { return p.health().Outbox.Err })
	})
}

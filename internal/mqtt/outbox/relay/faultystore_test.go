package relay_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
)

// faultyStore is a memory store that fails and shows entries late on demand, and checks
// what is deleted.
type faultyStore struct {
	outbox.Store
	w *world

	mu      sync.Mutex
	faults  int // bits: Read, Delete, Quarantine
	hidden  map[uint64]bool
	hiding  bool
	bad     map[uint64]bool
	deletes int
	read    int // entries
	wrong   []string
}

func newFaultyStore(t *testing.T, w *world) *faultyStore {
	t.Helper()
	return &faultyStore{Store: newMemory(t), w: w, hidden: map[uint64]bool{}, bad: map[uint64]bool{}}
}

func (s *faultyStore) fail(faults int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = faults
}

func (s *faultyStore) hide() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hiding = true
}

func (s *faultyStore) reveal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.hidden)
}

func (s *faultyStore) fault(bit int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.faults&bit != 0 {
		return errDisk
	}
	return nil
}

func (s *faultyStore) Append(ctx context.Context, entries ...*outbox.Entry) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.Store.Append(ctx, entries...)
	if s.hiding {
		s.hidden[entries[0].Seq] = true
		s.hiding = false
	}
	return err
}

func (s *faultyStore) Read(ctx context.Context, after uint64, limit int, without ...string) ([]*outbox.Entry, error) {
	if err := s.fault(1); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []*outbox.Entry
	for {
		es, err := s.Store.Read(ctx, after, limit, without...)
		if err != nil || len(es) == 0 {
			return out, err
		}
		s.read += len(es)
		for _, e := range es {
			if !s.hidden[e.Seq] {
				out = append(out, e)
			}
		}
		if len(out) > 0 {
			return out, nil
		}
		after = es[len(es)-1].Seq
	}
}

func (s *faultyStore) Delete(ctx context.Context, seqs ...uint64) error {
	if err := s.fault(2); err != nil {
		return err
	}
	if s.w != nil {
		s.w.mu.Lock()
		for _, seq := range seqs {
			switch f := s.w.facts[seq]; {
			case f == nil || !f.acked:
				s.wrong = append(s.wrong, fmt.Sprintf("%d was deleted before it was acknowledged", seq))
			case !f.resend && f.acks > 0 && time.Since(f.ackedAt) < s.w.o.KeepAcknowledged:
				s.wrong = append(s.wrong, fmt.Sprintf("%d was deleted %v after its acknowledgement", seq, time.Since(f.ackedAt)))
			}
		}
		s.w.mu.Unlock()
	}
	s.mu.Lock()
	s.deletes++
	s.mu.Unlock()
	return s.Store.Delete(ctx, seqs...)
}

func (s *faultyStore) Quarantine(ctx context.Context, seq uint64, reason string) error {
	if err := s.fault(4); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bad[seq] = true
	return s.Store.Quarantine(ctx, seq, reason)
}

func (s *faultyStore) quarantined(seq uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bad[seq]
}

func (s *faultyStore) has(seq uint64) bool {
	es, err := s.Store.Read(context.Background(), seq-1, 1)
	return err == nil && len(es) == 1 && es[0].Seq == seq
}

func (s *faultyStore) problems(*world) []string { return s.wrong }

package deadletterfile_test

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter/deadletterfile"
)

// However many replays are under way, each letter is published once: also one
// that is deleted while another replay claims it.
func TestManyReplaysPublishOnce(t *testing.T) {
	t.Parallel()
	s, err := deadletterfile.Open(filepath.Join(t.TempDir(), "f"), deadletterfile.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	const n = 400
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			l := &deadletter.Letter{ID: fmt.Sprintf("%06d", i), State: deadletter.Dead}
			l.Topic, l.Payload = "a", []byte("x")
			if err := s.Put(t.Context(), l); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	var sent sync.Map
	var twice atomic.Int64
	for range 16 {
		wg.Go(func() {
			_, err := deadletter.Replay(t.Context(), s, func(_ context.Context, l *deadletter.Letter) error {
				if _, there := sent.LoadOrStore(l.ID, true); there {
					twice.Add(1)
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	st, err := s.Stats(t.Context())
	if err != nil || twice.Load() > 0 || st.Dead > 0 {
		t.Errorf("%d letters were published twice, %+v, %v", twice.Load(), st, err)
	}
}

package replicas

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// keys is how many clients post; the reports of each are a key, and in order.
const keys = 16

// load posts reports, each with its own number and the key of its client. As behind a load
// balancer, a report that a collector has refused, or could not be asked to take, goes to the
// next collector. One whose outcome is unknown is not posted again, so that each number has at
// most one row.
type load struct {
	client     *http.Client
	collectors []*replica
	pause      time.Duration // of each client between posts
	count      *mqtttest.Recorder

	limit    atomic.Int64 // no number above it is posted yet
	next     atomic.Int64
	accepted atomic.Int64
	refused  atomic.Int64 // no collector took it

	mu   sync.Mutex
	last error
}

var errRefused = errors.New("refused")

// run posts total reports.
func (l *load) run(ctx context.Context, total int64) {
	var wg sync.WaitGroup
	for key := range keys {
		wg.Go(func() {
			tick := time.NewTicker(l.pause)
			defer tick.Stop()
			for n := l.next.Add(1); n <= total; n = l.next.Add(1) {
				for waiting := true; waiting; waiting = n > l.limit.Load() {
					select {
					case <-ctx.Done():
						return
					case <-tick.C:
					}
				}
				if err := l.post(ctx, n, key); err != nil {
					l.refused.Add(1)
					l.mu.Lock()
					l.last = err
					l.mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
}

func (l *load) post(ctx context.Context, n int64, key int) error {
	id := strconv.FormatInt(n, 10)
	l.count.Attempted(id)
	content := fmt.Sprintf(`{\"n\":%d,\"key\":%d}`, n, key)
	body := fmt.Appendf(nil, `{"report_type":"event","app_id":"cluster","app_key":"key","event_name":"posted","content":"%s"}`, content)
	var err error
	for i := range l.collectors {
		err = l.postTo(ctx, l.collectors[(key+i)%len(l.collectors)], body)
		if err == nil {
			l.count.Accepted(id)
			l.accepted.Add(1)
			return nil
		}
		if !errors.Is(err, errRefused) {
			return err
		}
	}
	return err
}

func (l *load) postTo(ctx context.Context, s *replica, body []byte) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.base+"/v1/reports", bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := l.client.Do(request)
	if errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("%w: %w", errRefused, err)
	}
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	switch {
	case err != nil:
		return err
	case response.StatusCode == http.StatusOK:
		return nil
	case response.StatusCode == http.StatusServiceUnavailable:
		return fmt.Errorf("%w: %s: %s", errRefused, response.Status, text)
	default:
		return fmt.Errorf("%s: %s", response.Status, text)
	}
}

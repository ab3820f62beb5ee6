package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// statusError is an answer other than success.
type statusError struct {
	code       int
	retryAfter string
	text       string
}

func (e *statusError) Error() string { return fmt.Sprintf("status %d: %s", e.code, e.text) }

// request is what a load posts: a path and a body with its number, because a client without an
// answer does not know the event id.
type request func(n int) (path string, body map[string]any)

// report has its number in its content and in its row.
func report(n int) (path string, body map[string]any) {
	return "/v1/reports", map[string]any{
		"report_type": "event", "app_id": "e2e", "app_key": "key", "event_name": "test",
		"content": fmt.Sprintf(`{"n":%d}`, n),
	}
}

// post posts a body and returns nil on success.
func post(ctx context.Context, c *http.Client, url string, body map[string]any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(text))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err = io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return &statusError{resp.StatusCode, resp.Header.Get("Retry-After"), string(text)}
	}
	return nil
}

// load posts reports, each with its own number. A report without a successful answer is not posted
// again, so that every number has at most one row.
type load struct {
	request request
	client  *http.Client
	base    atomic.Pointer[string] // current address of the collector, which changes when it is restarted
	next    atomic.Int64

	mu       sync.Mutex
	accepted map[int]bool // numbers answered with success
	failed   int
	lastErr  error
	took     []time.Duration // of accepted ones
}

func newLoad(t testing.TB, base string) *load {
	l := &load{request: report, client: client(t), accepted: make(map[int]bool)}
	l.base.Store(&base)
	return l
}

// postOne posts the next report.
func (l *load) postOne(ctx context.Context) error {
	n := int(l.next.Add(1))
	began := time.Now()
	path, body := l.request(n)
	err := post(ctx, l.client, *l.base.Load()+path, body)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.failed++
		l.lastErr = err
		return err
	}
	l.accepted[n] = true
	l.took = append(l.took, time.Since(began))
	return nil
}

func (l *load) count() (accepted, failed int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.accepted), l.failed
}

// postAll posts total reports from clients goroutines; a failure fails the test. half, if not nil,
// is called when half of them are accepted, while the others continue.
func (l *load) postAll(t *testing.T, total int, half func()) {
	t.Helper()
	var wg sync.WaitGroup
	var begun atomic.Int64
	halfway, all := make(chan struct{}), make(chan struct{})
	reached := sync.OnceFunc(func() { close(halfway) })
	for range clients {
		wg.Go(func() {
			for begun.Add(1) <= int64(total) {
				if err := l.postOne(t.Context()); err != nil {
					t.Errorf("refused: %v", err)
					return
				}
				if accepted, _ := l.count(); accepted >= total/2 {
					reached()
				}
			}
		})
	}
	go func() {
		defer close(all)
		wg.Wait()
	}()
	select {
	case <-halfway:
		if half != nil {
			half()
		}
	case <-all:
	}
	<-all
}

// keepPosting posts from several goroutines, with pauses, until stop is called, which waits for
// them.
func (l *load) keepPosting(t *testing.T, goroutines int, pause time.Duration) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range goroutines {
		wg.Go(func() {
			tick := time.NewTicker(pause)
			defer tick.Stop()
			for ctx.Err() == nil {
				// Not with ctx, so that every post gets its answer at the end.
				_ = l.postOne(t.Context()) // it counts
				<-tick.C
			}
		})
	}
	stop = sync.OnceFunc(func() {
		cancel()
		wg.Wait()
	})
	t.Cleanup(stop)
	return stop
}

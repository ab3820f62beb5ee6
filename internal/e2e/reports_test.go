package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// accepted are the event ids of the reports that were answered with success.
type accepted struct {
	mu  sync.Mutex
	ids map[string]bool
}

func (a *accepted) add(id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ids == nil {
		a.ids = make(map[string]bool)
	}
	a.ids[id] = true
}

func (a *accepted) len() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.ids)
}

// post sends one report and returns the event id of a success.
func post(c *http.Client, base string, n int) (id string, err error) {
	body, err := json.Marshal(map[string]any{
		"report_type": "event", "app_id": "e2e", "app_key": "key", "event_name": "test",
		"content": fmt.Sprintf(`{"n":%d}`, n),
	})
	if err != nil {
		return "", err
	}
	resp, err := c.Post(base+"/v1/reports", "application/json", bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", err
	}
	if resp.StatusCode != http.StatusOK {
		return "", &statusError{resp.StatusCode, string(text)}
	}
	var reply struct {
		EventID string `json:"event_id"`
		Other   string `json:"eventId"`
	}
	if err := json.Unmarshal(text, &reply); err != nil {
		return "", err
	}
	return reply.EventID + reply.Other, nil
}

type statusError struct {
	code int
	text string
}

func (e *statusError) Error() string { return fmt.Sprintf("status %d: %s", e.code, e.text) }

// postAll sends total reports from clients goroutines. A report that is
// refused is sent again until it is accepted, as a client would, unless retry
// is false, when a refusal fails the test. half is closed when half of them
// are accepted.
func postAll(t *testing.T, base string, total, clients int, retry bool, half chan<- struct{}) *accepted {
	t.Helper()
	a := &accepted{}
	c := client(t)
	var next atomic.Int64
	var once sync.Once
	var wg sync.WaitGroup
	deadline := time.Now().Add(2 * time.Minute)
	for range clients {
		wg.Go(func() {
			for {
				n := int(next.Add(1))
				if n > total {
					return
				}
				for {
					id, err := post(c, base, n)
					if err == nil {
						a.add(id)
						break
					}
					if !retry || time.Now().After(deadline) {
						t.Errorf("report %d: %v", n, err)
						return
					}
				}
				if half != nil && a.len() >= total/2 {
					once.Do(func() { close(half) })
				}
			}
		})
	}
	wg.Wait()
	return a
}

// rows lists the event ids that GET /v1/reports shows, page by page; an id
// that stands there twice is an error.
func rows(c *http.Client, base string) (map[string]bool, error) {
	ids := make(map[string]bool)
	for token := ""; ; {
		resp, err := c.Get(base + "/v1/reports?page_size=1000&page_token=" + url.QueryEscape(token))
		if err != nil {
			return nil, err
		}
		text, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil {
			return nil, err
		}
		if resp.StatusCode != http.StatusOK {
			return nil, &statusError{resp.StatusCode, string(text)}
		}
		var page struct {
			Reports []struct {
				EventID  string `json:"event_id"`
				EventID2 string `json:"eventId"`
			} `json:"reports"`
			Next  string `json:"next_page_token"`
			Next2 string `json:"nextPageToken"`
		}
		if err := json.Unmarshal(text, &page); err != nil {
			return nil, err
		}
		for _, r := range page.Reports {
			id := r.EventID + r.EventID2
			if ids[id] {
				return nil, fmt.Errorf("event id %s has two rows", id)
			}
			ids[id] = true
		}
		if token = page.Next + page.Next2; token == "" {
			return ids, nil
		}
	}
}

// wantRows waits until every accepted report is a row. More rows than accepted
// reports are no fault: a report whose answer was an error may have arrived.
func wantRows(t *testing.T, base string, a *accepted, exact bool) {
	t.Helper()
	c := client(t)
	var last map[string]bool
	mqtttest.Eventually(t, time.Minute, func() error {
		got, err := rows(c, base)
		if err != nil {
			return err
		}
		last = got
		missing := 0
		for id := range a.ids {
			if !got[id] {
				missing++
			}
		}
		if missing > 0 {
			return fmt.Errorf("%d of %d accepted reports are no row yet", missing, len(a.ids))
		}
		return nil
	})
	if exact && len(last) != len(a.ids) {
		t.Errorf("%d rows for %d accepted reports", len(last), len(a.ids))
	}
	t.Logf("accepted %d, rows %d, lost 0", len(a.ids), len(last))
}

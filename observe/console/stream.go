package console

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/topic"
)

const (
	// maxStreams bounds the pages that are open at the same time: each keeps a connection for
	// itself, and a server has a bounded number of them for all its callers.
	maxStreams = 64
	// writeTime is how long a page may take to read what is written.
	writeTime = 10 * time.Second
	// healthEvery is how many seconds are between two states of health.
	healthEvery = 2
)

var (
	errClosing = status.Error(codes.Unavailable, "the service stops")
	errStreams = status.Error(codes.ResourceExhausted, "64 pages are open already: close one")
)

// stream serves server-sent events: flow once a second, health, and, if the query has messages,
// message and dropped. The query may have a filter, and an operation.
func (c *Console) stream(w http.ResponseWriter, r *http.Request) (any, error) {
	defer c.streams.Add(-1)
	if c.streams.Add(1) > maxStreams {
		return nil, errStreams
	}
	q := r.URL.Query()
	var v *viewer // nil without messages
	if q.Get("messages") == "1" {
		filter := q.Get("filter")
		if filter != "" {
			if err := topic.ValidateFilter(filter); err != nil {
				return nil, status.Error(codes.InvalidArgument, err.Error())
			}
		}
		var err error
		if v, err = c.o.Recorder.live.join(filter, q.Get("operation")); err != nil {
			return nil, status.Error(codes.ResourceExhausted, err.Error())
		}
		defer c.o.Recorder.live.leave(v)
	}
	if c.closing.Err() != nil {
		return nil, errClosing
	}
	out := &events{w: w, control: http.NewResponseController(w)}
	if err := out.control.SetReadDeadline(time.Time{}); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return nil, status.Error(codes.Unavailable, "the connection cannot be kept open")
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no")
	w.WriteHeader(http.StatusOK)
	c.run(r.Context(), out, v)
	return nil, nil //nolint:nilnil // the reply is written
}

// run writes events until the page, or the console, is closed.
func (c *Console) run(ctx context.Context, out *events, v *viewer) {
	gone := ctx.Done()
	var messages chan *seen
	if v != nil {
		messages = v.messages
	}
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for n := 0; out.err == nil; n++ {
		if n%healthEvery == 0 {
			health, err := c.state.health()
			out.err = cmp.Or(out.err, err)
			out.send("health", health)
		}
		out.send("flow", c.state.flows(false))
		if v != nil {
			if dropped := v.dropped.Swap(0); dropped > 0 {
				out.send("dropped", map[string]int64{"count": dropped})
			}
		}
		out.flush()
		for tick := false; !tick && out.err == nil; {
			select {
			case <-c.closing.Done():
				return
			case <-gone:
				if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
					return
				}
				gone = nil // a server's time for an ordinary request: a write finds out when the page has gone
			case <-ticker.C:
				tick = true
			case m := <-messages:
				out.write("message", m.json(c.decoder))
				for more := true; more; {
					select {
					case m := <-messages:
						out.write("message", m.json(c.decoder))
					default:
						more = false
					}
				}
				out.flush()
			}
		}
	}
}

// events writes server-sent events until one fails.
type events struct {
	w       http.ResponseWriter
	control *http.ResponseController
	err     error
}

func (e *events) send(name string, v any) {
	text, err := json.Marshal(v)
	if err != nil {
		e.err = err
		return
	}
	e.write(name, text)
}

func (e *events) write(name string, text []byte) {
	if e.err != nil {
		return
	}
	if err := e.control.SetWriteDeadline(time.Now().Add(writeTime)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		e.err = err
		return
	}
	_, e.err = fmt.Fprintf(e.w, "event: %s\ndata: %s\n\n", name, text)
}

func (e *events) flush() {
	if e.err == nil {
		e.err = e.control.Flush()
	}
}

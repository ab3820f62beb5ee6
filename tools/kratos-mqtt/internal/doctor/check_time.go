package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

const (
	// trips is the number of messages of a round trip, and tripTime bounds them.
	trips    = 200
	tripTime = 3 * time.Second
	// tripPayload is the size of their payload.
	tripPayload = 100
)

// roundTrip measures the time from a publish to its arrival at the same client.
func roundTrip(ctx context.Context, e *exam) (Finding, error) {
	topic := e.topic()
	c, err := e.open(ctx)
	if err != nil {
		return Finding{}, err
	}
	defer c.close()
	if _, err := c.subscribe(topic, 1); err != nil {
		return Finding{}, err
	}
	var times []time.Duration
	body := make([]byte, tripPayload)
	for begin := time.Now(); len(times) < trips && (time.Since(begin) < tripTime || len(times) == 0); {
		before := time.Now()
		if _, err := c.put(topic, body, 1, nil); err != nil {
			return Finding{}, err
		}
		if err := c.until(e.wait, func() bool { return len(c.arrived) > len(times) }); err != nil {
			return Finding{}, err
		}
		times = append(times, time.Since(before))
	}
	slices.Sort(times)
	p50, p99 := times[len(times)/2], times[len(times)*99/100]
	return Finding{
		Grade: OK, Result: fmt.Sprintf("p50 %.2f ms, p99 %.2f ms over %d messages at QoS 1", milliseconds(p50), milliseconds(p99), len(times)),
		Values: map[string]any{"p50_ms": milliseconds(p50), "p99_ms": milliseconds(p99), "messages": len(times)},
	}, nil
}

const (
	// maxSys bounds the messages below $SYS that are read.
	maxSys = 1000
	// maxSkew is a difference of clocks that a network and a busy machine explain.
	maxSkew = 5 * time.Second
)

// sys reads what the broker publishes about itself.
func sys(ctx context.Context, e *exam) (Finding, error) {
	c, err := e.open(ctx)
	if err != nil {
		return Finding{}, err
	}
	defer c.close()
	_, err = c.subscribe("$SYS/#", 0)
	if _, closed := errors.AsType[*closedError](err); closed {
		return Finding{Grade: Limited, Result: "not readable: " + problem(err)}, nil
	}
	if err != nil {
		return Finding{}, err
	}
	err = c.until(e.o.Quiet, func() bool { return len(c.arrived) >= maxSys })
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		return Finding{}, err
	}
	f := Finding{Grade: OK, Values: map[string]any{"topics": len(c.arrived)}}
	if len(c.arrived) == 0 {
		f.Grade, f.Result = Limited, "the broker publishes nothing below $SYS, or not for this user"
		return f, nil
	}
	now, clock := time.Now(), "has no clock"
	for _, m := range c.arrived {
		text := string(m.payload)
		switch m.topic[strings.LastIndexByte(m.topic, '/')+1:] {
		case "version":
			e.report.Product = text
		case "uptime":
			f.Values["uptime"] = text
		case "datetime":
			if at, err := time.Parse(time.RFC3339, text); err == nil {
				clock = f.clock(now.Sub(at))
			}
		}
	}
	f.Result = strings.TrimPrefix(e.report.Product+"; "+clock, "; ")
	return f, nil
}

// clock compares the broker's clock with this one, and returns the result.
func (f *Finding) clock(skew time.Duration) string {
	f.Values["clock_skew_ms"] = milliseconds(skew)
	if skew.Abs() <= maxSkew {
		return "its clock agrees with this machine's"
	}
	f.Grade = Limited
	f.Advice = "clocks differ: message expiry, certificates and the age of messages depend on them"
	return fmt.Sprintf("its clock differs by %v", skew.Round(time.Second))
}

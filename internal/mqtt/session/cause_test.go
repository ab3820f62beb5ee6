package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/link"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"
)

// The cause is determined from what the broker stated, what we did, what was in
// flight, what was just sent, and last from the timing.
func TestCauseOfALoss(t *testing.T) {
	t.Parallel()
	var (
		reset   = fmt.Errorf("read: %w", syscall.ECONNRESET)
		filters = crowd{"a/#", 2}
		flying  = crowd{"t", 3}
		soon    = time.Millisecond
		long    = takeoverWindow
		many    = takeoverLosses - 1
	)
	said := func(code byte) *CodeError { return codeError(wire.TypeDisconnect, code) }
	for name, tc := range map[string]struct {
		evidence
		cause event.LossKind
		topic string
		n     int
	}{
		"taken over, in its words":            {evidence{code: said(0x8E), err: io.EOF, publishing: flying}, event.LossTakenOver, "", 0},
		"taken over, by timing":               {evidence{err: io.EOF, life: soon, short: many}, event.LossTakenOver, "", 0},
		"not often enough":                    {evidence{err: io.EOF, life: soon, short: many - 1}, event.LossClosed, "", 0},
		"not soon enough":                     {evidence{err: io.EOF, life: long, short: many}, event.LossClosed, "", 0},
		"a reset is no takeover":              {evidence{err: reset, life: soon, short: many}, event.LossNetwork, "", 0},
		"a message in flight is to blame":     {evidence{err: io.EOF, life: soon, short: many, publishing: flying}, event.LossPublish, "t", 3},
		"after a reset, too":                  {evidence{err: reset, publishing: flying}, event.LossPublish, "t", 3},
		"a write that found it closed":        {evidence{err: fmt.Errorf("write: %w", syscall.EPIPE), publishing: flying}, event.LossPublish, "t", 3},
		"however long it lived":               {evidence{err: io.EOF, life: time.Hour, publishing: flying}, event.LossPublish, "t", 3},
		"a subscription is to blame":          {evidence{err: io.EOF, life: soon, short: many, subscribing: filters}, event.LossSubscribe, "a/#", 2},
		"a subscription first":                {evidence{err: io.EOF, subscribing: filters, publishing: flying}, event.LossSubscribe, "a/#", 2},
		"unless the code is of a message":     {evidence{code: said(0x90), err: io.EOF, subscribing: filters, publishing: flying}, event.LossPublish, "t", 3},
		"the code is of a filter":             {evidence{code: said(0x8F), err: io.EOF, subscribing: filters, publishing: flying}, event.LossSubscribe, "a/#", 2},
		"the code may be of either":           {evidence{code: said(0x87), err: io.EOF, publishing: flying}, event.LossPublish, "t", 3},
		"those before it were taken":          {evidence{err: io.EOF, life: soon, cleared: takeoverLosses, publishing: flying}, event.LossTakenOver, "", 0},
		"the same, by reset":                  {evidence{err: reset, life: soon, cleared: takeoverLosses, publishing: flying}, event.LossNetwork, "", 0},
		"one less was taken":                  {evidence{err: io.EOF, life: soon, cleared: takeoverLosses - 1, publishing: flying}, event.LossPublish, "t", 3},
		"taken, and a QoS 0 message":          {evidence{err: io.EOF, life: soon, cleared: takeoverLosses, publishing: flying, sent: "zero"}, event.LossPublish, "t", 3},
		"taken, and this one lived":           {evidence{err: io.EOF, life: long, cleared: takeoverLosses, publishing: flying}, event.LossPublish, "t", 3},
		"a QoS 0 message just sent":           {evidence{err: io.EOF, life: soon, short: many, sent: "zero"}, event.LossPublish, "zero", 1},
		"nothing that the code could blame":   {evidence{code: said(0x95), err: io.EOF}, event.LossProtocol, "", 0},
		"the broker was blocked":              {evidence{err: reset, paused: true, publishing: flying}, event.LossBackPressure, "", 0},
		"the broker says more than the pause": {evidence{code: said(0x8B), err: io.EOF, paused: true}, event.LossShutdown, "", 0},
		"the broker stops":                    {evidence{code: said(0x8B), err: io.EOF, publishing: flying}, event.LossShutdown, "", 0},
		"the broker moves":                    {evidence{code: said(0x9D), err: io.EOF, publishing: flying}, event.LossMoved, "", 0},
		"the broker's limit":                  {evidence{code: said(0x97), err: io.EOF, publishing: flying}, event.LossQuota, "", 0},
		"too slow for the broker":             {evidence{code: said(0x8D), err: io.EOF, publishing: flying}, event.LossKeepAlive, "", 0},
		"too slow for us":                     {evidence{err: link.ErrNoPingresp, publishing: flying}, event.LossKeepAlive, "", 0},
		"a write that stalls":                 {evidence{err: fmt.Errorf("write: %w", os.ErrDeadlineExceeded), publishing: flying}, event.LossKeepAlive, "", 0},
		"no SUBACK":                           {evidence{err: fmt.Errorf("no SUBACK: %w", context.DeadlineExceeded), subscribing: filters}, event.LossKeepAlive, "", 0},
		"a packet against the rules":          {evidence{err: &wire.MalformedError{}, publishing: flying}, event.LossProtocol, "", 0},
		"the way there":                       {evidence{err: syscall.EHOSTUNREACH, publishing: flying}, event.LossNetwork, "", 0},
	} {
		l := tc.judge()
		if l.Kind != tc.cause || l.Topic != tc.topic || l.Suspects != tc.n {
			t.Errorf("%s: %q, topic %q, %d suspects", name, l.Kind, l.Topic, l.Suspects)
		}
		if tc.code == nil && !errors.Is(&l, tc.err) {
			t.Errorf("%s: %v hides %v", name, &l, tc.err)
		}
		if tc.code != nil && (l.Code != tc.code.Code || !errors.Is(&l, tc.code)) {
			t.Errorf("%s: %v hides %v", name, &l, tc.code)
		}
	}
}

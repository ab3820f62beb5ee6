package observe

import (
	"cmp"
	"fmt"
	"sync"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/semconv"
)

type findings []Finding

func (f *findings) addf(code Code, format string, args ...any) {
	*f = append(*f, Finding{code, fmt.Sprintf(format, args...)})
}

func compare(a, b Finding) int {
	return cmp.Or(cmp.Compare(a.Code, b.Code), cmp.Compare(a.Text, b.Text))
}

// judge adds what is wrong with one client.
func (p *Probe) judge(c *event.Health, now time.Time, down, warn *findings) {
	p.judgeConnection(c, down, warn)
	if c.DeadLettersBlocked {
		down.addf(CodeLettersBlocked, "dead letters cannot be stored%s", because(c.DeadLetterError))
	}
	if ago := now.Sub(c.LetterLostAt); !c.LetterLostAt.IsZero() && ago <= p.limits.LettersLost {
		warn.addf(CodeLettersLost, "messages were discarded, the last one %v ago: %d because the dead letters of their origin had used up its share, %d because no store accepted their dead letter",
			ago.Round(time.Second), c.LettersOverShare, c.LettersLost)
	}
	o := &c.Outbox
	if o.Fill >= 1 {
		down.addf(CodeOutboxFull, "the outbox is full with %d messages of %d bytes", o.Depth, o.Bytes)
	}
	if o.Err != nil {
		down.addf(CodeOutboxFailed, "the store of the outbox does not work%s", because(o.Err))
	}
	for _, end := range []struct {
		whose string
		at    time.Time
	}{{"the broker", c.BrokerCertificateEnds}, {"this client", c.ClientCertificateEnds}} {
		if left := end.at.Sub(now); !end.at.IsZero() && left <= p.limits.Certificate {
			warn.addf(CodeCertificate, "the certificate of %s ends at %s", end.whose, end.at.UTC().Format(time.RFC3339))
		}
	}
	if c.CertificateError != nil {
		warn.addf(CodeCertificateRefused, "new TLS files cannot be used, and the old ones stay in use; the log has the reason")
	}
	if c.ParkedKeys > 0 {
		warn.addf(CodeKeysParked, "%d ordering keys are parked, with %d messages", c.ParkedKeys, c.Parked)
	}
	for i := range c.Pauses {
		judgePause(&c.Pauses[i], now, warn)
	}
	if o.Quarantined > 0 {
		warn.addf(CodeQuarantine, "the outbox does not send %d messages", o.Quarantined)
	}
	if o.ClosedKeys > 0 {
		warn.addf(CodeClosedKeys, "%d ordering keys of the outbox wait for a message that cannot be sent for now%s", o.ClosedKeys, because(o.RefusedError))
	}
	if o.Age > p.limits.OutboxAge {
		warn.addf(CodeOutboxOld, "the oldest of %d messages has waited in the outbox for %v, the limit is %v", o.Depth, o.Age.Round(time.Second), p.limits.OutboxAge)
	}
	if c.HandlersLate > 0 {
		warn.addf(CodeHandlersLate, "%d calls of handlers passed their deadline and still run", c.HandlersLate)
	}
	if c.BackPressure > 0 {
		warn.addf(CodeBackPressure, "the queue of messages to handle has been full again and again for %v", c.BackPressure.Round(time.Second))
	}
	if c.UnmatchedKept > 0 {
		warn.addf(CodeUnmatched, "%d messages wait for a subscription that matches them", c.UnmatchedKept)
	}
	if c.ForeignParked > 0 {
		warn.addf(CodeParkedByOthers, "no handler of this process takes %d parked messages", c.ForeignParked)
	}
	if c.SelfTestError != nil {
		warn.addf(CodeSelfTest, "the self-test failed%s", because(c.SelfTestError))
	}
}

// judgePause adds a subscription that does not handle messages. Its name is not in the text,
// as it may be a topic.
func judgePause(p *event.SubscriptionPause, now time.Time, warn *findings) {
	also := ""
	if n := len(p.AlsoWaiting); n > 0 {
		also = fmt.Sprintf("; %d others share its session and wait, too, once the window is full", n)
	}
	since := now.Sub(p.Since).Round(time.Second)
	if p.State == event.PausedByHand {
		warn.addf(CodePaused, "a subscription has been paused by hand for %v, %d messages wait%s", since, p.Waiting, also)
		return
	}
	warn.addf(CodeBreakerOpen, "the breaker of a subscription has been %s for %v, after %d failed attempts in a row, %d messages wait%s",
		p.State, since, p.Failures, p.Waiting, also)
}

func (p *Probe) judgeConnection(c *event.Health, down, warn *findings) {
	switch {
	case !c.Connected && p.limits.OutboxCovers && c.Filters == 0 && c.Outbox.Fill < 1 && c.HasOutbox:
		warn.addf(CodeStored, "not connected to the broker%s; the outbox stores what is published", because(c.LastError))
	case !c.Connected:
		down.addf(CodeNotConnected, "not connected to the broker%s", because(c.LastError))
	case c.Granted < c.Filters:
		down.addf(CodeNotGranted, "the broker has granted %d of %d topic filters%s", c.Granted, c.Filters, because(c.LastError))
	case c.GrantedLower > 0:
		down.addf(CodeLowerQoS, "the broker has granted %d topic filters at a lower QoS than requested", c.GrantedLower)
	case !c.Ready:
		down.addf(CodeNotConnected, "a subscription with a session of its own is not connected or not granted%s", because(c.LastError))
	default:
		judgeOthers(c.Sessions, warn)
	}
}

// judgeOthers adds the connections that are down although every subscription has its own.
func judgeOthers(sessions []event.SessionHealth, warn *findings) {
	away, last := 0, error(nil)
	for i := range sessions {
		if s := &sessions[i]; !s.Connected {
			away, last = away+1, cmp.Or(s.LastError, last)
		}
	}
	if away > 0 {
		warn.addf(CodeConnectionDown, "%d of %d connections are down, which are for publishing, requests or replies%s", away, len(sessions), because(last))
	}
}

// because returns the reason of an error without its text, which may have names of hosts
// and topics.
func because(err error) string {
	if reason := semconv.ConnectErrorTypeOf(err); reason != "" && reason != semconv.OtherError {
		return " (" + reason + ")"
	}
	return ""
}

// ages has the highest age of the messages that were handled within the last one to two
// periods.
type ages struct {
	mu            sync.Mutex
	began         time.Time
	now, previous time.Duration
}

// agePeriod is half of the time that counts.
const agePeriod = 30 * time.Second

func (a *ages) note(age time.Duration, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.turn(now)
	a.now = max(a.now, age)
}

func (a *ages) worst(now time.Time) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.turn(now)
	return max(a.now, a.previous)
}

// turn begins a new period if it is time. The mutex is held.
func (a *ages) turn(now time.Time) {
	switch passed := now.Sub(a.began); {
	case passed >= 2*agePeriod:
		a.previous, a.now, a.began = 0, 0, now
	case passed >= agePeriod:
		a.previous, a.now, a.began = a.now, 0, now
	}
}

package session

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"
)

// serve makes the broker's subscriptions match ours, again after each change,
// until the connection ends or the session closes.
func (t *subscriptions) serve(s *Session, c *conn, ctl control) {
	for {
		if err := t.align(s, c, ctl); err != nil {
			if c.alive.Err() == nil {
				c.abort(err)
			}
			return
		}
		later := t.later()
		select {
		case <-t.poke:
		case <-later:
		case answer := <-t.asked:
			answer <- s.confirm(c, ctl)
		case <-c.alive.Done():
			return
		}
	}
}

// maxTries limits the SUBSCRIBE packets sent to a broker that confuses their
// packet id with that of a message it has in flight to us. Each try has another
// id.
const maxTries = 2048

// maxFilters limits how many filters are requested at once, in as many
// SUBSCRIBE packets as the version and the broker require.
const maxFilters = 100

// align sends UNSUBSCRIBE and SUBSCRIBE until nothing is missing, because a
// refusal may restore the previous request for a filter. An error means that
// the connection is useless: if the broker does not answer, a new connection is
// tried.
func (t *subscriptions) align(s *Session, c *conn, ctl control) error {
	for {
		add, drop := t.missing()
		if len(add)+len(drop) == 0 {
			t.report(s)
			return nil
		}
		for _, w := range drop {
			if err := t.unsubscribe(s, c, ctl, w); err != nil {
				return err
			}
		}
		for suspects := 1; len(add) > 0; {
			n := together(add, suspects)
			if add[0].suspect {
				suspects *= 2
			}
			if err := t.subscribe(s, c, ctl, add[:n]); err != nil {
				return err
			}
			add = add[n:]
		}
	}
}

// together returns how many of the next filters are requested together.
// Suspects are requested apart from others: the first alone, then a growing
// number of them.
func together(add []*wanted, suspects int) int {
	most := maxFilters
	if add[0].suspect {
		most = min(most, suspects)
	}
	n := 1
	for n < min(len(add), most) && add[n].suspect == add[0].suspect && add[n].ignored == 0 {
		n++
	}
	return n
}

func (t *subscriptions) unsubscribe(s *Session, c *conn, ctl control, w *wanted) error {
	ctx, cancel := c.patient(s.cfg.ConnectTimeout)
	defer cancel()
	err := ctl.unsubscribe(ctx, w.Filter.Filter)
	var code *CodeError
	switch {
	case err != nil && timedOut(ctx) && t.ignored(w): // no answer on a previous connection either
		t.gone(w, &event.Error{Op: opUnsubscribe, Topic: w.Filter.Filter, Reason: event.ReasonTimeout, Cause: errNoUnsuback})
	case errors.As(err, &code): // asking again would not help
		t.gone(w, &event.Error{Op: opUnsubscribe, Topic: w.Filter.Filter, Reason: reasonOfCode(code.Code), Cause: code})
	case err != nil:
		return fmt.Errorf("%w: %w", errNoUnsuback, why(ctx, err))
	default:
		t.gone(w, nil)
	}
	return nil
}

func (t *subscriptions) subscribe(s *Session, c *conn, ctl control, add []*wanted) error {
	if add = t.needless(c, add); len(add) == 0 {
		return nil
	}
	filters := make([]Filter, len(add))
	for i, w := range add {
		filters[i] = w.Filter
		if w.quiet {
			filters[i].RetainHandling = retainNever
		}
		if c.version == wire.V5 && c.connack.SubIDAvailable {
			filters[i].ID = FilterID(w.Filter.Filter)
		}
	}
	ctx, cancel := c.patient(s.cfg.ConnectTimeout)
	defer cancel()
	t.await(add)
	answers, err := ctl.subscribe(ctx, filters)
	for tries := 1; err == nil && slices.ContainsFunc(answers, idInUse) && tries < maxTries; tries++ {
		answers, err = ctl.subscribe(ctx, filters)
	}
	var late []*wanted
	for i, w := range add {
		if err != nil && (i >= len(answers) || answers[i].missing) {
			late = append(late, w)
			continue
		}
		refusal := subackError(c.version, w.Filter.Filter, answers[i])
		if refusal == nil {
			c.noteUse()
		}
		t.answered(s, w, answers[i].code, refusal)
	}
	t.await(late)
	switch {
	case err == nil:
		return nil
	case !timedOut(ctx):
		return fmt.Errorf("no SUBACK: %w", err)
	}
	t.late(late, s.cfg.ConnectTimeout)
	err = fmt.Errorf("%w: %w", errNoSuback, context.DeadlineExceeded)
	if !c.useful.Load() {
		return err
	}
	t.await(nil)
	for _, w := range late {
		s.cfg.Notify(SubscriptionRefused{w.Filter.Filter, &event.Error{Op: opSubscribe, Topic: w.Filter.Filter, Reason: event.ReasonTimeout, Cause: err}})
	}
	return nil
}

// The retain handlings: at each SUBSCRIBE, only at a new subscription, never.
const (
	retainAll = iota
	retainNew
	retainNever
)

// needless settles requests that only lower the granted QoS if a SUBSCRIBE
// would send retained messages again to handlers that have them, as on MQTT
// 3.1.1. The broker then continues at the higher QoS.
func (t *subscriptions) needless(c *conn, add []*wanted) (rest []*wanted) {
	for _, w := range add {
		t.mu.Lock()
		before := w.before
		t.mu.Unlock()
		if c.version == wire.V311 && w.quiet && before != nil && before.granted && before.level >= w.QoS {
			t.answer(w, before.level, nil)
			continue
		}
		rest = append(rest, w)
	}
	return rest
}

// answered records the answer to a request and reports a refusal or a lower
// QoS.
func (t *subscriptions) answered(s *Session, w *wanted, level byte, refusal error) {
	switch stood := t.answer(w, level, refusal); {
	case !stood:
	case refusal != nil:
		s.cfg.Notify(SubscriptionRefused{w.Filter.Filter, refusal})
	case level < w.QoS:
		s.cfg.Notify(SubscriptionLowered{w.Filter.Filter, w.QoS, level})
	}
}

func idInUse(a answer) bool { return a.code == codeInUse }

func subackError(v wire.Version, filter string, a answer) error {
	if a.code < codeFailed {
		return nil
	}
	return &event.Error{Op: opSubscribe, Topic: filter, Reason: reasonOfSuback(v, a.code), Cause: &CodeError{
		Packet: "SUBACK", Code: a.code, Name: wire.ReasonName(wire.TypeSuback, v, a.code), Detail: a.detail,
	}}
}

// reasonOfSuback maps a code of SUBACK to a reason. MQTT 3.1.1 has a single
// failure code, which usually means access rules.
func reasonOfSuback(v wire.Version, code byte) event.Reason {
	if v == wire.V311 {
		return event.ReasonRefused
	}
	return reasonOfCode(code)
}

// report makes the session ready, or reports which filters are not granted as
// requested.
func (t *subscriptions) report(s *Session) {
	n, news, why := t.state()
	s.state.set(func(st *Status) { st.Ready, st.Convicting, st.LastError = why == nil, false, why })
	switch {
	case news && n > 0:
		s.cfg.Notify(Subscribed{ClientID: s.cfg.ClientID, Filters: n})
	case news:
		s.cfg.Notify(NothingWanted{})
	}
}

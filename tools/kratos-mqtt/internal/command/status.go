package command

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	operatorv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/operator/v1"
	"github.com/kratos-mqtt/kratos-mqtt/observe"
	"github.com/kratos-mqtt/kratos-mqtt/tools/kratos-mqtt/internal/service"
)

func (s *session) statusCommand() *cobra.Command {
	return &cobra.Command{
		Use: "status", GroupID: groupSee, Args: cobra.NoArgs, Short: "Summarize a running service on one screen",
		Long: `Summarizes a running service: whether it is ready and why not, its connections, topic filters,
subscriptions and outbox, and the messages that wait for a person. It asks the operator, and reads
/readyz if that has no health; what the service does not serve is named and left out.`,
		RunE: func(c *cobra.Command, _ []string) error {
			at, err := s.service()
			if err != nil {
				return err
			}
			st := &summary{Service: at.Address()}
			if err := st.health(c.Context(), at); err != nil {
				return err
			}
			st.operator(c.Context(), at)
			if s.json {
				return s.writeJSON(st)
			}
			_, err = s.Out.Write(st.text())
			return err
		},
	}
}

// summary is what status shows. Parts that are not known are left out.
type summary struct {
	Service       string            `json:"service"`
	Status        observe.Status    `json:"status"`
	Findings      []observe.Finding `json:"findings"`
	Connections   []connectionOf    `json:"connections,omitempty"`
	Filters       *filtersOf        `json:"filters,omitempty"`
	Subscriptions *subscriptionsOf  `json:"subscriptions,omitempty"`
	Messages      *messagesOf       `json:"messages,omitempty"`
	Outbox        *outboxOf         `json:"outbox,omitempty"`
	Letters       *lettersOf        `json:"letters,omitempty"`
	// CertificateDays is until the first certificate ends.
	CertificateDays *float64 `json:"certificate_days,omitempty"`
	// Unknown names what the service does not serve, and why.
	Unknown []string `json:"unknown,omitempty"`
}

type connectionOf struct {
	ClientID string `json:"client_id"`
	// Session is the name of a subscription's own session.
	Session   string `json:"session"`
	Connected bool   `json:"connected"`
	Error     string `json:"error"`
}

type filtersOf struct {
	Wanted  int `json:"wanted"`
	Granted int `json:"granted"`
	// Problems are those that are not granted as they were asked for.
	Problems []filterOf `json:"problems"`
}

type filterOf struct {
	Filter     string `json:"filter"`
	Session    string `json:"session"`
	AskedQoS   uint32 `json:"asked_qos"`
	Granted    bool   `json:"granted"`
	GrantedQoS uint32 `json:"granted_qos"`
	Error      string `json:"error"`
}

type subscriptionsOf struct {
	All     int      `json:"all"`
	Stopped []string `json:"stopped"`
}

type messagesOf struct {
	Running  int32 `json:"running"`
	Queued   int32 `json:"queued"`
	InFlight int32 `json:"in_flight"`
	Parked   int32 `json:"parked"`
	Keys     int32 `json:"parked_keys"`
}

type outboxOf struct {
	Waiting     int64   `json:"waiting"`
	Bytes       int64   `json:"bytes"`
	AgeSeconds  float64 `json:"age_seconds"`
	Fill        float64 `json:"fill"`
	ClosedKeys  int32   `json:"closed_keys"`
	Quarantined int32   `json:"quarantined"`
	Delayed     int64   `json:"delayed"`
	// Reasons are the error of the store, and why the message that is next waits, and why the first
	// one in quarantine is there.
	Reasons []string `json:"reasons,omitempty"`
}

type lettersOf struct {
	Count  int64     `json:"count"`
	More   bool      `json:"more"`
	Groups []groupOf `json:"groups"`
}

type groupOf struct {
	Fingerprint string `json:"fingerprint"`
	Operation   string `json:"operation"`
	ErrorType   string `json:"error_type"`
	Pattern     string `json:"pattern"`
	Count       int64  `json:"count"`
}

// health fills what the operator knows of the clients. Without a reply it asks for the readiness only.
func (st *summary) health(ctx context.Context, at *service.Service) error {
	reply, err := at.Operator.GetHealth(ctx, new(operatorv1.GetHealthRequest))
	if err != nil {
		ready, failed := at.Ready(ctx)
		st.Status, st.Findings = ready.Status, append([]observe.Finding{}, ready.Findings...)
		st.Unknown = append(st.Unknown, "clients: "+explained(err).Error())
		return failed
	}
	st.Status, st.Findings = observe.Status(reply.GetStatus()), []observe.Finding{}
	for _, f := range reply.GetFindings() {
		st.Findings = append(st.Findings, observe.Finding{Code: observe.Code(f.GetReason()), Text: f.GetText()})
	}
	st.Connections, st.Filters, st.Messages = []connectionOf{}, &filtersOf{Problems: []filterOf{}}, new(messagesOf)
	for _, c := range reply.GetClients() {
		st.client(c)
	}
	return nil
}

// client adds a client.
func (st *summary) client(c *operatorv1.Client) {
	for _, s := range c.GetSessions() {
		st.Connections = append(st.Connections, connectionOf{s.GetClientId(), s.GetName(), s.GetConnected(), s.GetLastError()})
	}
	for _, f := range c.GetFilters() {
		st.Filters.Wanted++
		if f.GetGranted() {
			st.Filters.Granted++
		}
		if f.GetError() != "" {
			st.Filters.Problems = append(st.Filters.Problems, filterOf{f.GetFilter(), f.GetSession(), f.GetAskedQos(), f.GetGranted(), f.GetGrantedQos(), f.GetError()})
		}
	}
	m := st.Messages
	m.Running, m.Queued, m.InFlight = m.Running+c.GetRunning(), m.Queued+c.GetQueued(), m.InFlight+c.GetInFlight()
	m.Parked, m.Keys = m.Parked+c.GetParked(), m.Keys+c.GetParkedKeys()
	if o := c.GetOutbox(); o != nil {
		if st.Outbox == nil {
			st.Outbox = new(outboxOf)
		}
		sum := st.Outbox
		sum.Waiting, sum.Bytes, sum.ClosedKeys, sum.Quarantined = sum.Waiting+o.GetDepth(), sum.Bytes+o.GetBytes(), sum.ClosedKeys+o.GetClosedKeys(), sum.Quarantined+o.GetQuarantined()
		sum.Delayed += o.GetDelayed()
		if o.GetError() != "" {
			sum.Reasons = append(sum.Reasons, "store: "+o.GetError())
		}
		sum.AgeSeconds, sum.Fill = max(sum.AgeSeconds, o.GetAge().AsDuration().Seconds()), max(sum.Fill, o.GetFill())
	}
	if end := c.GetCertificateEnds(); end != nil {
		if days := time.Until(end.AsTime()).Hours() / 24; st.CertificateDays == nil || days < *st.CertificateDays {
			st.CertificateDays = &days
		}
	}
}

// enoughLetters is how many letters are counted.
const enoughLetters = 10_000

// operator fills what the operator knows.
func (st *summary) operator(ctx context.Context, at *service.Service) {
	if reply, err := at.Operator.ListSubscriptions(ctx, new(operatorv1.ListSubscriptionsRequest)); err != nil {
		st.Unknown = append(st.Unknown, "subscriptions: "+explained(err).Error())
	} else {
		st.Subscriptions = &subscriptionsOf{All: len(reply.GetSubscriptions()), Stopped: []string{}}
		for _, each := range reply.GetSubscriptions() {
			if each.GetState() != operatorv1.SubscriptionState_SUBSCRIPTION_STATE_CLOSED {
				words := []string{each.GetName() + " " + stateOf(each), each.GetBy(), whyOf(each)}
				st.Subscriptions.Stopped = append(st.Subscriptions.Stopped, strings.Join(slices.DeleteFunc(words, func(s string) bool { return s == "" }), ": "))
			}
		}
	}
	st.reasons(ctx, at)
	all, err := at.Groups(ctx, nil, operatorv1.State_STATE_DEAD, enoughLetters)
	if err != nil {
		st.Unknown = append(st.Unknown, "dead letters: "+explained(err).Error())
		return
	}
	st.Letters = &lettersOf{Groups: []groupOf{}, Count: all.Count, More: all.More}
	for _, g := range all.Groups {
		st.Letters.Groups = append(st.Letters.Groups, groupOf{g.GetFingerprint(), cmp.Or(g.GetOperation(), g.GetSubscription()), g.GetErrorType(), g.GetPattern(), g.GetCount()})
	}
	slices.SortStableFunc(st.Letters.Groups, func(a, b groupOf) int { return cmp.Compare(b.Count, a.Count) })
}

// reasons fills why the next message of the outbox waits, and why the first one of the quarantine is there.
func (st *summary) reasons(ctx context.Context, at *service.Service) {
	if st.Outbox == nil {
		return
	}
	for _, list := range []entryList{operatorv1.OperatorServiceClient.ListWaiting, operatorv1.OperatorServiceClient.ListQuarantined} {
		page, err := list(at.Operator, ctx, &operatorv1.ListEntriesRequest{Limit: 1})
		if err != nil {
			if status.Code(err) != codes.Unimplemented { // else there is no outbox
				st.Unknown = append(st.Unknown, "outbox: "+explained(err).Error())
			}
			return
		}
		for _, e := range page.GetEntries() {
			if e.GetReason() != "" {
				st.Outbox.Reasons = append(st.Outbox.Reasons, e.GetTopic()+": "+e.GetReason())
			}
		}
	}
}

// screen is how many lines a part may have.
const screen = 5

// text returns the status for a person.
func (st *summary) text() []byte {
	out := new(bytes.Buffer)
	line := func(name, format string, args ...any) {
		fmt.Fprintf(out, "%-14s %s\n", name, printable(fmt.Sprintf(format, args...)))
	}
	line("service", "%s", st.Service)
	line("status", "%s", st.Status)
	for _, f := range st.Findings {
		line("", "%s: %s", f.Code, f.Text)
	}
	name := "connections"
	for _, c := range st.Connections {
		line(name, "%s", strings.TrimRight(fmt.Sprintf("%s %s  %s", map[bool]string{true: "up  ", false: "DOWN"}[c.Connected], c.ClientID, short(c.Error, reasonRunes)), " "))
		name = ""
	}
	if f := st.Filters; f != nil {
		line("filters", "%d of %d granted", f.Granted, f.Wanted)
		for _, p := range f.Problems[:min(len(f.Problems), screen)] {
			granted := "not granted"
			if p.Granted {
				granted = fmt.Sprintf("granted QoS %d", p.GrantedQoS)
			}
			line("", "%s: asked QoS %d, %s: %s", p.Filter, p.AskedQoS, granted, short(p.Error, reasonRunes))
		}
	}
	if s := st.Subscriptions; s != nil {
		line("subscriptions", "%d, %d stopped", s.All, len(s.Stopped))
		for _, text := range s.Stopped[:min(len(s.Stopped), screen)] {
			line("", "%s", short(text, reasonRunes))
		}
	}
	if m := st.Messages; m != nil {
		line("messages", "%d being handled, %d queued, %d sent and not acknowledged", m.Running, m.Queued, m.InFlight)
		line("parked", "%s of %s", things(int64(m.Parked), "messages"), things(int64(m.Keys), "keys"))
	}
	if o := st.Outbox; o != nil {
		line("outbox", "%d waiting (%d bytes, oldest %v, %.0f %% full), %d keys closed, %d quarantined",
			o.Waiting, o.Bytes, time.Duration(o.AgeSeconds*float64(time.Second)).Round(time.Second), math.Ceil(o.Fill*100), o.ClosedKeys, o.Quarantined)
		if o.Delayed > 0 {
			line("", "%d delayed, not due yet", o.Delayed)
		}
		for _, text := range o.Reasons {
			line("", "%s", short(text, reasonRunes))
		}
	}
	if l := st.Letters; l != nil {
		line("dead letters", "%d%s in %s", l.Count, map[bool]string{true: " or more"}[l.More], things(int64(len(l.Groups)), "groups"))
		for _, g := range l.Groups[:min(len(l.Groups), screen)] {
			line("", "%d %s %s: %s", g.Count, g.Operation, g.ErrorType, short(g.Pattern, reasonRunes))
		}
	}
	if st.CertificateDays != nil {
		line("certificate", "ends in %.1f days", *st.CertificateDays)
	}
	for _, text := range st.Unknown {
		line("unknown", "%s", text)
	}
	return out.Bytes()
}

package observe

import (
	"slices"
	"sync"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// Status is how well the clients work.
type Status string

// The statuses.
const (
	// Ready means that messages flow.
	Ready Status = "ready"
	// Degraded means that messages flow and somebody should look, see the findings.
	Degraded Status = "degraded"
	// NotReady means that messages do not flow.
	NotReady Status = "not ready"
)

// Code names a finding. Its text is stable.
type Code string

// Codes of [NotReady].
const (
	CodeNoClient       Code = "NO_CLIENT"            // there is nothing to report on
	CodeNotConnected   Code = "NOT_CONNECTED"        // the main connection is down, or that of a subscription with its own session
	CodeNotGranted     Code = "FILTERS_NOT_GRANTED"  // filters are refused, or not requested yet
	CodeLowerQoS       Code = "FILTERS_LOWERED"      // filters are granted at a lower QoS than requested
	CodeLettersBlocked Code = "DEAD_LETTERS_BLOCKED" // dead letters cannot be stored
	CodeOutboxFull     Code = "OUTBOX_FULL"          // the outbox accepts nothing
	CodeOutboxFailed   Code = "OUTBOX_FAILED"        // the store of the outbox does not work
)

// Codes of [Degraded].
const (
	CodeStored         Code = "STORED_IN_OUTBOX" // the connection is down, and the outbox stores what is published
	CodeConnectionDown Code = "CONNECTION_DOWN"  // a connection for publishing or requests is down
	CodeFlapping       Code = "FLAPPING"         // connections are lost again and again
	CodeCertificate    Code = "CERTIFICATE_ENDS" // a certificate ends soon
	// CodeCertificateRefused means that new TLS files cannot be used, and the old ones stay.
	CodeCertificateRefused Code = "CERTIFICATE_REFUSED"
	CodeKeysParked         Code = "KEYS_PARKED"        // ordering keys wait behind parked messages
	CodePaused             Code = "PAUSED"             // somebody paused a subscription
	CodeBreakerOpen        Code = "BREAKER_OPEN"       // the breaker of a subscription is not closed
	CodeQuarantine         Code = "QUARANTINE"         // the outbox keeps messages that it does not send
	CodeOutboxOld          Code = "OUTBOX_OLD"         // a message waits in the outbox for long
	CodeMessagesOld        Code = "MESSAGES_OLD"       // handled messages were sent long ago
	CodeLettersLost        Code = "DEAD_LETTERS_LOST"  // messages were discarded because no dead letter of them was accepted
	CodeSelfTest           Code = "SELF_TEST_FAILED"   // the self-test of the start failed
	CodeBackPressure       Code = "BACK_PRESSURE"      // the queue of messages to handle is full
	CodeHandlersLate       Code = "HANDLERS_LATE"      // handlers passed their deadline and still run
	CodeClosedKeys         Code = "OUTBOX_KEYS_CLOSED" // the broker refuses the first message of some keys
	CodeUnmatched          Code = "MESSAGES_UNMATCHED" // messages wait for a subscription that matches them
	CodeParkedByOthers     Code = "PARKED_BY_OTHERS"   // no handler of this process takes some parked messages
)

// Finding is why a status is not [Ready].
type Finding struct {
	Code Code `json:"reason"`
	// Text is for people. It names no host, topic or key.
	Text string `json:"text"`
}

// Report is the status with its findings, those of [NotReady] first.
type Report struct {
	Status   Status    `json:"status"`
	Findings []Finding `json:"findings,omitempty"`
}

// Limits set when a status is [Degraded]. A zero field means its default.
type Limits struct {
	// Certificate is how long before its end a certificate is reported. Default 7 days.
	Certificate time.Duration
	// OutboxAge is how long a message may wait in the outbox. Default 1 min.
	OutboxAge time.Duration
	// MessageAge is how old a message may be when it is handled; known only for messages with
	// a time (WithSentAt of package broker/mqtt). Default 1 min.
	MessageAge time.Duration
	// LettersLost is for how long a discarded message is reported whose dead letter was not
	// accepted. Default 10 min.
	LettersLost time.Duration
	// Losses is how many connections of one client id may be lost within LossesWithin before
	// they flap. Default 3 within 5 min.
	Losses       int
	LossesWithin time.Duration
	// OutboxCovers makes a client that subscribes to nothing [Degraded] instead of [NotReady]
	// while it is not connected, as long as its outbox has room: what is published is stored.
	// Default false.
	OutboxCovers bool
}

func (l *Limits) resolve() {
	set := func(d *time.Duration, to time.Duration) {
		if *d <= 0 {
			*d = to
		}
	}
	set(&l.Certificate, 7*24*time.Hour)
	set(&l.OutboxAge, time.Minute)
	set(&l.MessageAge, time.Minute)
	set(&l.LettersLost, 10*time.Minute)
	set(&l.LossesWithin, 5*time.Minute)
	if l.Losses <= 0 {
		l.Losses = 3
	}
}

// Probe judges clients for health checks. It is also a hook (WithHooks), by which it learns of
// losses and of the age of messages: without it neither is reported. Safe for concurrent
// use.
type Probe struct {
	limits Limits

	mu      sync.Mutex
	clients []Source
	lost    map[string][]time.Time // by client id, oldest first
	ages    ages
}

var (
	_ event.HandleHook         = (*Probe)(nil)
	_ event.ConnectionLostHook = (*Probe)(nil)
)

// NewProbe returns a probe of clients; nil is ignored. Further ones can be added with
// [Probe.Watch].
func NewProbe(limits Limits, clients ...Source) *Probe {
	limits.resolve()
	p := &Probe{limits: limits, lost: make(map[string][]time.Time)}
	p.Watch(clients...)
	return p
}

// Watch adds clients; nil is ignored.
func (p *Probe) Watch(clients ...Source) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range clients {
		if c != nil {
			p.clients = append(p.clients, c)
		}
	}
}

// OnHandle implements event.HandleHook.
func (p *Probe) OnHandle(info event.HandleInfo) {
	if info.Err != nil || info.SentAt.IsZero() {
		return
	}
	now := time.Now()
	if age := now.Sub(info.SentAt); age <= maxAge {
		p.ages.note(age, now)
	}
}

// OnConnectionLost implements event.ConnectionLostHook.
func (p *Probe) OnConnectionLost(info event.ConnectionLostInfo) {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := append(p.lost[info.ClientID], time.Now())
	if n := len(list) - p.limits.Losses; n > 0 {
		list = slices.Delete(list, 0, n)
	}
	p.lost[info.ClientID] = list
}

// Check returns the present status.
func (p *Probe) Check() Report {
	r, _, _ := p.look()
	return r
}

// State is the status of clients, and what it was judged by.
type State struct {
	Report
	Clients []ClientState
}

// ClientState is a client of a [State].
type ClientState struct {
	Health event.Health
	// Findings are those of this client.
	Findings []Finding
	// Filters are those of all its sessions; none if its source has no method Filters, as that of
	// a publisher.
	Filters []event.FilterHealth
}

// State returns the present status with the state of each client. It costs more than [Probe.Check]
// if clients have many topic filters.
func (p *Probe) State() State {
	r, clients, sources := p.look()
	for i, source := range sources {
		if s, ok := source.(interface{ Filters() []event.FilterHealth }); ok {
			clients[i].Filters = s.Filters()
		}
	}
	return State{r, clients}
}

// look judges all clients, each of which has its source at the same place.
func (p *Probe) look() (Report, []ClientState, []Source) {
	now := time.Now()
	p.mu.Lock()
	all := slices.Clone(p.clients)
	down, warn := make(findings, 0, 4), make(findings, 0, 4)
	for id, list := range p.lost {
		if len(list) == p.limits.Losses && now.Sub(list[0]) <= p.limits.LossesWithin {
			warn.addf(CodeFlapping, "%d connections of client id %.100q were lost within %v", len(list), id, p.limits.LossesWithin)
		}
	}
	p.mu.Unlock()
	if age := p.ages.worst(now); age > p.limits.MessageAge {
		warn.addf(CodeMessagesOld, "messages of the last minute were up to %v old when they were handled, the limit is %v", age.Round(time.Second), p.limits.MessageAge)
	}
	list, sources := snapshots(all)
	if len(list) == 0 {
		down.addf(CodeNoClient, "there is no MQTT client")
	}
	clients := make([]ClientState, len(list))
	for i := range list {
		var own, less findings
		p.judge(&list[i], now, &own, &less)
		clients[i] = ClientState{Health: list[i], Findings: slices.Concat(own, less)}
		down, warn = append(down, own...), append(warn, less...)
	}
	slices.SortStableFunc(warn, compare)
	r := Report{Status: Ready, Findings: append(down, warn...)}
	switch {
	case len(down) > 0:
		r.Status = NotReady
	case len(warn) > 0:
		r.Status = Degraded
	}
	return r, clients, sources
}

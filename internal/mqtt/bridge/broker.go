package bridge

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/envelope"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/hook"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/request"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/sequence"
)

// Broker is one service's link to its broker, whose settings may change while it is
// stopped. All methods are safe for concurrent use.
type Broker struct {
	now atomic.Pointer[state] // nil until first needed, never again after

	mu       sync.RWMutex // written to by Init; read by what belongs to one client
	settings Settings
	client   *client.Client // the last one that could be made; it has the subscriptions

	requests *request.Pending[*client.Delivery]
	replies  request.Replies // of ours to requests of others
	gaps     *sequence.Gaps
	grants   grants    // of the subscriptions
	unplaced sync.Once // says that there is no place for a sequence
	losses   envelope.Losses
}

// state is what the options were resolved to. It does not change; Init
// replaces it.
type state struct {
	broker  *Broker
	cfg     client.Config
	client  *client.Client // nil when err is not
	err     error
	log     client.Logger
	publish func(ctx context.Context, m *Message) error // of requests and replies

	told     *hook.Set // the user's hooks
	retries  Retry
	envelope *envelope.Settings

	outbox   *outbox.Outbox    // nil sends at once
	sequence *sequence.Numbers // nil numbers nothing

	replies request.Rules
}

// New never fails and never returns nil: problems of the settings are returned by the
// first method that can. set is called once, at once.
func New(set func(*Settings)) *Broker {
	b := new(Broker)
	b.requests = request.NewPending[*client.Delivery]()
	b.losses.Warnf = b.warnf
	b.gaps = sequence.NewGaps(b.gapTeller())
	set(&b.settings)
	return b
}

// Init has set change the settings, unless it is nil, and reports every problem of
// them all. It is an error while connected, and set is not called then. Subscriptions
// stay.
func (b *Broker) Init(set func(*Settings)) error {
	if s := b.now.Load(); s != nil && s.running() { // not after waiting for Start
		return errRunning()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.now.Load()
	if s != nil && s.running() {
		return errRunning()
	}
	if s == nil || set != nil {
		if set != nil {
			set(&b.settings)
		}
		s = b.open()
	}
	return s.err
}

func errRunning() error { return badRequest("init", "", "cannot init while connected") }

// state returns the current state, resolved when first asked for.
func (b *Broker) state() *state {
	if s := b.now.Load(); s != nil {
		return s
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if s := b.now.Load(); s != nil {
		return s
	}
	return b.open()
}

// open resolves the options, with mu held.
func (b *Broker) open() *state {
	s := &state{broker: b}
	cfg, problems := b.settings.resolve()
	if s.log = cfg.Logger; s.log == nil {
		s.log = client.Silence
	}
	s.hooks(&cfg, b.settings.OnDisconnect)
	problems = errors.Join(problems, s.delivery(&b.settings, &cfg))
	s.cfg = cfg
	form, notAllowed := s.newEnvelope(&b.settings)
	s.envelope, problems = form, errors.Join(problems, notAllowed)
	cfg.Envelope, cfg.Subscriber = form, b.settings.subscriber
	if s.publish = b.settings.Publish; s.publish == nil {
		s.publish = func(ctx context.Context, m *Message) error {
			if err := b.Encode(m); err != nil {
				return err
			}
			return b.Deliver(ctx, m, nil)
		}
	}
	if b.settings.Resolved != nil {
		problems = errors.Join(problems, b.settings.Resolved())
	}
	client, err := client.NewClient(cfg, b.client)
	if s.err = configError(problems, err); s.err == nil {
		s.client, b.client = client, client
		b.settings.warn(s.log, &cfg)
	}
	b.now.Store(s)
	return s
}

// delivery resolves what keeps messages from being lost, or handled twice, and
// reports every problem of it.
func (s *state) delivery(from *Settings, cfg *client.Config) error {
	s.told, _ = hook.New(from.Hooks, s.log) // resolve reports what is wrong
	cfg.Hooks = s.told.Calls()
	cfg.Dedup, s.retries = from.Dedup, from.Retry
	if from.Sequence {
		s.sequence = sequence.NewNumbers(cfg.ClientID)
	}
	cfg.Arrived, cfg.ArrivedEvent, cfg.Replied, cfg.Granted = s.broker.onArrival, s.broker.inEvent, s.broker.replied, s.broker.grants.note
	var err error
	if s.outbox, err = s.outboxOf(from.Outbox, timeoutOf(cfg)); s.outbox != nil {
		cfg.Flush, cfg.Publishing = s.outbox.Stop, s.outbox.Connection
	}
	return errors.Join(s.retries.resolve(), err, s.replying(from))
}

// replying resolves where replies may go, and how many.
func (s *state) replying(from *Settings) (err error) {
	if from.ReplyTopics != nil {
		s.replies.Topics, err = request.ParseTemplates(from.ReplyTopics, true)
	}
	unbound, bad := request.ParseTemplates(from.UnboundReplyTopics, false)
	s.replies.Unbound, s.replies.Limits = unbound, from.ReplyLimits.Resolved()
	if err != nil {
		err = event.Setting("Subscriber", "replies.topics", "%w", err)
	}
	if bad != nil {
		bad = event.Setting("Subscriber", "replies.unbound_topics", "%w", bad)
	}
	return errors.Join(err, bad)
}

// hooks has OnConnect and OnDisconnect told like hooks, and passes OnDisconnect an
// error that users know.
func (s *state) hooks(cfg *client.Config, onDisconnect func(error)) {
	if cb := cfg.OnConnect; cb != nil {
		cfg.OnConnect = func() { s.told.Connection("OnConnect", cb) }
	}
	if onDisconnect != nil {
		cfg.OnDisconnect = func(err error) {
			s.told.Connection("OnDisconnect", func() { onDisconnect(client.ErrorOf("connect", "", err)) })
		}
	}
}

// protect runs a callback of the user's and logs its panic.
func (s *state) protect(what string, f func()) { hook.Protect(s.log, what, f) }

func (s *state) running() bool { return s.client != nil && !s.client.Stopped() }

// Endpoint is the first broker's URL, without user information.
func (b *Broker) Endpoint() (string, error) {
	s := b.state()
	if s.err != nil {
		return "", s.err
	}
	return s.client.Endpoint(), nil
}

// configError reports the problems of ours and the engine's as one error.
func configError(problems, err error) error {
	if problems == nil && err == nil {
		return nil
	}
	return &event.Error{Op: "configure", Reason: event.ReasonBadRequest, Cause: joinCauses(problems, err)}
}

// warnf writes to the log of the present state.
func (b *Broker) warnf(format string, args ...any) { b.state().log.Warnf(format, args...) }

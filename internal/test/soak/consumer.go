package soak

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	kerrors "github.com/go-kratos/kratos/v2/errors"
	"github.com/tx7do/kratos-transport/broker"
	"google.golang.org/protobuf/types/known/durationpb"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter/deadletterfile"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// stuckFor is how long a stuck message fails; budget must be less.
const (
	stuckFor = 2 * time.Second
	budget   = 500 * time.Millisecond
)

// consume is the main function of a consumer. It stops gracefully on SIGTERM.
func consume(ctx context.Context, cfg childConfig) error {
	handled, err := openIDLog(handledPath(cfg.Dir))
	if err != nil {
		return err
	}
	store, err := deadletterfile.Open(lettersPath(cfg.Dir), deadletterfile.Options{})
	if err != nil {
		return err
	}
	srv := mqttserver.NewServer(
		mqttserver.WithBrokerOptions(mqttbroker.WithConnectionConfig(connection(cfg, fmt.Sprintf("chain-consumer-%d", cfg.Index))),
			mqttbroker.WithSubscriberConfig(&v1.Subscriber{RetryBudget: durationpb.New(budget), Concurrency: 32}),
			mqttbroker.WithKratosLogger(logger()),
			mqttbroker.WithServiceName("chain"),
			mqttbroker.WithDeadLetters(store)),
	)
	h := &handler{seed: cfg.Seed, handled: handled, failing: make(map[id]time.Time)}
	filter := fmt.Sprintf("chain/%d/+", cfg.Index)
	if _, err := srv.Subscribe(filter, h.handle, nil, mqttbroker.WithSubscribeQos(2), mqttbroker.WithSubscribeExhausted(event.ExhaustedPark)); err != nil {
		return err
	}
	if err := srv.Start(ctx); err != nil {
		return err
	}
	<-ctx.Done()
	stop, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	return errors.Join(srv.Stop(stop), store.Close())
}

// handler applies the fate of each message.
type handler struct {
	seed    uint64
	handled *idLog

	mu      sync.Mutex
	failing map[id]time.Time // when each message failed for the first time
}

var (
	errOnce   = errors.New("fails at the first attempt")
	errStuck  = errors.New("fails for a while")
	errPoison = kerrors.BadRequest("POISON", "no retry helps")
)

func (h *handler) handle(_ context.Context, e broker.Event) error {
	body, ok := e.Message().Body.([]byte)
	if !ok || len(body) < idSize {
		return kerrors.BadRequest("NO_ID", "a message without an id")
	}
	i, ok := parseID(string(body[:idSize]))
	if !ok {
		return kerrors.BadRequest("NO_ID", "a message without an id")
	}
	if err := h.fail(i); err != nil {
		return err
	}
	return h.handled.add(i)
}

// fail returns the error of this attempt, or nil if it succeeds.
func (h *handler) fail(i id) error {
	f := i.fate(h.seed)
	if f == fine {
		return nil
	}
	since, again := h.first(i)
	switch {
	case f == poison:
		return errPoison
	case f == stuck && time.Since(since) < stuckFor:
		return errStuck
	case f == fails && !again:
		return errOnce
	case f == panics && !again:
		panic("at the first attempt") //nolint:forbidigo // the fate of the message
	case f == slow && !again:
		time.Sleep(30 * time.Millisecond) //nolint:forbidigo // the fate of the message
	}
	return nil
}

// first returns when this process first received a message, and whether this is a later
// attempt.
func (h *handler) first(i id) (since time.Time, again bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	since, again = h.failing[i]
	if !again {
		since = time.Now()
		h.failing[i] = since
	}
	return since, again
}

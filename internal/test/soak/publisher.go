package soak

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox/outboxfile"
)

const (
	// workers of a publisher: each has a topic of its own.
	workers = 64
	// outboxBound makes publishers wait for the broker, backlog for the consumer:
	// the faults shall find messages everywhere.
	outboxBound = 5_000
	backlog     = 20_000
	// drainTime is what a child may take to stop in order.
	drainTime = 60 * time.Second
)

// payloadSize is that of every message.
const payloadSize = 200

// publish is the process of a publisher. It goes on where its log ends, and
// when everything is accepted waits for SIGTERM.
func publish(ctx context.Context, cfg childConfig) error {
	next := make([]int, workers)
	if err := readLog(acceptedPath(cfg.Dir), func(i id) { next[i.worker] = i.number + 1 }); err != nil {
		return err
	}
	accepted, err := openIDLog(acceptedPath(cfg.Dir))
	if err != nil {
		return err
	}
	store, err := outboxfile.Open(outboxPath(cfg.Dir), outboxfile.Options{MaxEntries: outboxBound})
	if err != nil {
		return err
	}
	pub, err := mqttbroker.NewPublisher(
		mqttbroker.WithConnection(connection(cfg, fmt.Sprintf("chain-publisher-%d", cfg.Index))),
		mqttbroker.WithKratosLogger(logger()),
		mqttbroker.WithOutbox(store, mqttbroker.OutboxHold(cfg.Hold)),
	)
	if err != nil {
		return err
	}
	if err := pub.Connect(ctx); err != nil {
		return err
	}
	var wg sync.WaitGroup
	failures := make([]error, workers+2)
	for w := range workers {
		wg.Go(func() {
			p := producer{cfg: cfg, publisher: pub, accepted: accepted}
			failures[w] = p.run(ctx, w, next[w])
		})
	}
	<-ctx.Done()
	wg.Wait()
	stop, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	failures[workers], failures[workers+1] = pub.Close(stop), store.Close()
	return errors.Join(failures...)
}

type producer struct {
	cfg       childConfig
	publisher *mqttbroker.Publisher
	accepted  *idLog
}

// run publishes one message after the other until all of this worker's are
// accepted.
func (p *producer) run(ctx context.Context, worker, next int) error {
	quota := (p.cfg.Messages + workers - 1 - worker) / workers
	for n := next; n < quota && ctx.Err() == nil; n++ {
		if n%16 == 0 {
			p.brake(ctx)
		}
		i := id{p.cfg.Index, worker, n}
		if err := p.publish(ctx, i); ctx.Err() != nil {
			return nil //nolint:nilerr // the run ends
		} else if err != nil {
			return err
		}
		if err := p.accepted.add(i); err != nil {
			return err // the verdict would be wrong
		}
		if p.cfg.Rate > 0 {
			wait(ctx, time.Second*workers/time.Duration(p.cfg.Rate))
		}
	}
	return nil
}

// brake waits while the consumer is far behind.
func (p *producer) brake(ctx context.Context) {
	accepted, handled := acceptedPath(p.cfg.Dir), handledPath(p.cfg.Peer)
	for logLines(accepted)-logLines(handled) > backlog && ctx.Err() == nil {
		wait(ctx, 10*time.Millisecond)
	}
}

// publish tries until the message is accepted: a full outbox is the brake of
// the chain.
func (p *producer) publish(ctx context.Context, i id) error {
	payload := make([]byte, payloadSize)
	copy(payload, i.String())
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		return struct{}{}, p.publisher.Publish(ctx, i.topic(), payload, event.QoS(i.qos()))
	}, backoff.WithMaxElapsedTime(0), backoff.WithBackOff(&backoff.ExponentialBackOff{
		InitialInterval: 2 * time.Millisecond, MaxInterval: 100 * time.Millisecond, Multiplier: 2, RandomizationFactor: 0.5,
	}))
	return err
}

// wait passes time, or less when ctx ends.
func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

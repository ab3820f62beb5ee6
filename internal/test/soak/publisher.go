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
	// workers is the number of workers of a publisher; each has its own topic.
	workers = 64
	// outboxBound makes publishers wait for the broker, backlog makes them wait for the
	// consumer, so that faults find messages everywhere.
	outboxBound = 5_000
	backlog     = 20_000
	// drainTime bounds the graceful stop of a child.
	drainTime = 60 * time.Second
)

// payloadSize is the size of every payload.
const payloadSize = 200

// publish is the main function of a publisher. It continues where its log ends, and waits for
// SIGTERM once everything is accepted.
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
		mqttbroker.WithConnectionConfig(connection(cfg, fmt.Sprintf("chain-publisher-%d", cfg.Index))),
		mqttbroker.WithKratosLogger(logger()),
		mqttbroker.WithOutbox(store, mqttbroker.OutboxKeepAcknowledged(cfg.Hold)),
	)
	if err != nil {
		return err
	}
	if err := pub.Start(ctx); err != nil {
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
	failures[workers], failures[workers+1] = pub.Stop(stop), store.Close()
	return errors.Join(failures...)
}

type producer struct {
	cfg       childConfig
	publisher *mqttbroker.Publisher
	accepted  *idLog
}

// run publishes the messages of one worker, one after another, until all are accepted.
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

// publish retries until the message is accepted: a full outbox slows down the publisher.
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

// wait waits for d, or until ctx ends.
func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

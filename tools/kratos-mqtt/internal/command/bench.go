package command

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/tools/kratos-mqtt/internal/latency"
	"github.com/kratos-mqtt/kratos-mqtt/tools/kratos-mqtt/internal/terminal"
)

// benching has the flags of bench.
type benching struct {
	topic                         string
	publishers, subscribers, size int
	qos                           uint8
	rate                          float64
	count                         int64
	duration                      time.Duration
}

func (s *session) benchCommand() *cobra.Command {
	b := new(benching)
	c := &cobra.Command{
		Use: "bench", GroupID: groupDevelop, Args: cobra.NoArgs,
		Short: "Measure how fast messages are published and delivered",
		Long: `Publishes messages, receives them, and shows rates, losses and latencies: how long the broker
took to acknowledge a message, and how long a message took from publisher to subscriber.

Without --rate it publishes as fast as the broker acknowledges, and latencies are those of a full
window. For the latencies of a load choose a --rate below that.`,
		Example: `kratos-mqtt bench --duration 10s
kratos-mqtt bench --rate 1000 --publishers 4 --subscribers 2 --size 512 --json`,
		RunE: func(c *cobra.Command, _ []string) error { return s.bench(c, b) },
	}
	f := c.Flags()
	f.StringVarP(&b.topic, "topic", "t", "", "topic that the messages are published below (default: bench/ and a random one)")
	f.IntVar(&b.publishers, "publishers", 1, "connections that publish")
	f.IntVar(&b.subscribers, "subscribers", 1, "connections that receive all messages; 0 only publishes")
	f.IntVar(&b.size, "size", 100, "size of a payload in bytes, at least 8")
	f.Uint8VarP(&b.qos, "qos", "q", 1, "QoS: 0, 1 or 2")
	f.Float64Var(&b.rate, "rate", 0, "messages a second of all publishers; 0 means no limit")
	f.Int64VarP(&b.count, "count", "n", 0, "end after this many messages; 0 means no limit")
	f.DurationVar(&b.duration, "duration", 10*time.Second, "end after this time")
	return c
}

// measured is the result of bench. Its JSON is what scripts read.
type measured struct {
	Seconds     float64 `json:"seconds"`
	Published   int64   `json:"published"`
	PublishRate float64 `json:"publish_rate"`
	Failed      int64   `json:"failed"`
	Error       string  `json:"error,omitempty"` // the first one
	Received    int64   `json:"received"`
	ReceiveRate float64 `json:"receive_rate"`
	Lost        int64   `json:"lost"`       // did not arrive
	Duplicates  int64   `json:"duplicates"` // marked as such by the broker

	Acknowledged latency.Summary `json:"acknowledged"`
	Delivered    latency.Summary `json:"delivered"`
}

// bench is one run.
type bench struct {
	*benching
	topics                                  string
	began                                   time.Time
	published, failed, received, duplicates atomic.Int64
	last                                    atomic.Int64          // when a message arrived, since began
	failure                                 atomic.Pointer[error] // the first one
	acknowledged, delivered                 *latency.Histogram
	progress                                *terminal.Progress
}

func (s *session) bench(c *cobra.Command, flags *benching) error {
	if flags.size < 8 || flags.publishers < 1 || flags.subscribers < 0 || flags.rate < 0 || flags.count < 0 || flags.duration <= 0 || flags.qos > 2 {
		return usageError(c, "want --size 8 or more, --publishers 1 or more, a --duration above 0, a --qos of 0, 1 or 2, and nothing below 0")
	}
	id := uuid.NewString()[:8]
	b := &bench{benching: flags, topics: cmp.Or(flags.topic, "bench/"+id), acknowledged: latency.NewHistogram(), delivered: latency.NewHistogram()}
	ctx := c.Context()
	for i := range flags.subscribers {
		sub, disconnect, err := s.connect(ctx, mqttbroker.WithClientId(fmt.Sprintf("bench-%s-sub%d", id, i)))
		if err != nil {
			return err
		}
		defer disconnect()
		opts := []broker.SubscribeOption{mqttbroker.WithSubscribeQos(flags.qos), mqttbroker.WithSubscribeRetainHandling(2)}
		if _, err := sub.Subscribe(b.topics+"/+", b.receive, nil, opts...); err != nil {
			return err
		}
	}
	publishers := make([]*mqttbroker.Publisher, flags.publishers)
	for i := range publishers {
		pub, disconnect, err := s.publisher(ctx, mqttbroker.WithClientId(fmt.Sprintf("bench-%s-pub%d", id, i)))
		if err != nil {
			return err
		}
		defer disconnect()
		publishers[i] = pub
	}
	b.progress = terminal.NewProgress(s.Err, "messages", flags.count)
	m := b.run(ctx, publishers)
	b.progress.End()
	err := m.write(s, b)
	if m.Failed > 0 {
		err = errors.Join(err, fmt.Errorf("%d messages failed, the first with: %w", m.Failed, *b.failure.Load()))
	}
	return err
}

// run publishes and waits for what is under way.
func (b *bench) run(ctx context.Context, publishers []*mqttbroker.Publisher) *measured {
	b.began = time.Now()
	running, stop := context.WithTimeout(ctx, b.duration)
	defer stop()
	whole, release := toTheEnd(running)
	defer release()
	limit := limiter(b.rate)
	var taken atomic.Int64
	var group, flying sync.WaitGroup
	for i, p := range publishers {
		group.Go(func() {
			topic := fmt.Sprintf("%s/%d", b.topics, i)
			payload := make([]byte, b.size)
			for b.failure.Load() == nil && limit.Wait(running) == nil && running.Err() == nil && (b.count == 0 || taken.Add(1) <= b.count) {
				sent := time.Since(b.began)
				binary.BigEndian.PutUint64(payload, uint64(sent))
				flying.Add(1)
				// The message that has begun ends, so that nothing is counted as lost.
				err := p.PublishAsync(whole, topic, payload, func(err error) {
					b.acknowledge(sent, err)
					flying.Done()
				}, event.QoS(b.qos))
				if err != nil {
					b.acknowledge(sent, err)
					flying.Done()
				}
			}
		})
	}
	group.Wait()
	// What is in flight ends with its acknowledgement, or with its publisher.
	end := context.AfterFunc(whole, func() {
		for _, p := range publishers {
			_ = p.Stop(whole)
		}
	})
	flying.Wait()
	end()
	took := time.Since(b.began)
	b.arrive(ctx)
	m := &measured{
		Seconds: took.Seconds(), Published: b.published.Load(), Failed: b.failed.Load(), Received: b.received.Load(), Duplicates: b.duplicates.Load(),
		Acknowledged: b.acknowledged.Summary(), Delivered: b.delivered.Summary(),
	}
	m.PublishRate = float64(m.Published) / took.Seconds()
	if b.subscribers > 0 && m.Received > 0 {
		m.ReceiveRate = float64(m.Received) / time.Duration(b.last.Load()).Seconds()
	}
	m.Lost = max(0, m.Published*int64(b.subscribers)-m.Received)
	if failure := b.failure.Load(); failure != nil {
		m.Error = (*failure).Error()
	}
	return m
}

func (b *bench) acknowledge(sent time.Duration, err error) {
	if err != nil {
		b.failed.Add(1)
		b.failure.CompareAndSwap(nil, &err)
		return
	}
	b.published.Add(1)
	b.acknowledged.Record(time.Since(b.began) - sent)
	b.progress.Add(1)
}

// receive counts a message.
func (b *bench) receive(_ context.Context, e broker.Event) error {
	m, ok := e.(mqttbroker.Received)
	if !ok || len(m.Payload()) < 8 {
		return nil // of another publisher
	}
	now := time.Since(b.began)
	b.delivered.Record(now - time.Duration(binary.BigEndian.Uint64(m.Payload())))
	if m.Duplicate() {
		b.duplicates.Add(1)
	}
	b.last.Store(int64(now))
	b.received.Add(1)
	return nil
}

// patience is how long nothing arrives until the rest is lost.
const patience = 2 * time.Second

// arrive waits until all messages have arrived, or none does any more.
func (b *bench) arrive(ctx context.Context) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	before, since := int64(-1), time.Now()
	for {
		now := b.received.Load()
		switch {
		case now >= b.published.Load()*int64(b.subscribers):
			return
		case now != before:
			before, since = now, time.Now()
		case time.Since(since) > patience:
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (m *measured) write(s *session, b *bench) error {
	if s.json {
		return s.writeJSON(m)
	}
	_, err := fmt.Fprintf(s.Out, "published     %d in %.1f s, %.0f a second, %d failed\nacknowledged  %v\n", m.Published, m.Seconds, m.PublishRate, m.Failed, m.Acknowledged)
	if err != nil || b.subscribers == 0 {
		return err
	}
	_, err = fmt.Fprintf(s.Out, "received      %d, %.0f a second, %d lost, %d duplicates\ndelivered     %v\n", m.Received, m.ReceiveRate, m.Lost, m.Duplicates, m.Delivered)
	if err != nil {
		return err
	}
	return b.delivered.WriteBars(s.Out)
}

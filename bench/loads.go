package main

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tx7do/kratos-transport/broker"

	"github.com/kratos-mqtt/kratos-mqtt/bench/internal/contender"
	"github.com/kratos-mqtt/kratos-mqtt/bench/internal/meter"
	"github.com/kratos-mqtt/kratos-mqtt/bench/internal/null"

	"github.com/kratos-mqtt/kratos-mqtt/bench/internal/reading"
)

// load is one measurement of one contender.
type load func(*env) (meter.Sample, error)

// env is the environment of a load.
type env struct {
	plain, secure contender.Target // the null broker
	mosquitto     func() (host string, err error)
	own           func(role string) (host string, err error) // the in-process broker, in a process of its own
	warmUp        time.Duration
	time          time.Duration
	topics        int
	profile       func(start bool) // nil unless profiling
}

func (e *env) measure(count func() int64) meter.Sample {
	if e.profile != nil {
		e.profile(true)
		defer e.profile(false)
	}
	return meter.While(e.warmUp, e.time, count)
}

// on selects the target that a load connects to.
type on func(*env) contender.Target

func plain(e *env) contender.Target  { return e.plain }
func secure(e *env) contender.Target { return e.secure }

func plain5(e *env) contender.Target {
	t := e.plain
	t.Version = 5
	return t
}

// observed adds options that observe to a target.
func observed(options func() ([]broker.Option, error), at on) on {
	return func(e *env) contender.Target {
		t := at(e)
		opts, err := options()
		if err != nil {
			t.Host = err.Error() // no host, so connecting reports it
		}
		t.Observed = opts
		return t
	}
}

// pipeline publishes from one goroutine with a full window in flight.
func pipeline(open contender.OpenPublisher, at on, typed bool) load {
	return func(e *env) (meter.Sample, error) {
		return publish(e, open, at, newWork(typed), func(p *contender.Publisher, w *contender.Work) {
			if err := p.Pipeline(w); err != nil {
				w.Fail(err)
			}
		})
	}
}

// waiting publishes from n goroutines, each of which waits for every acknowledgement.
func waiting(open contender.OpenPublisher, at on, n int) load {
	return waitingWith(open, at, n, false)
}

func waitingWith(open contender.OpenPublisher, at on, n int, typed bool) load {
	return func(e *env) (meter.Sample, error) {
		return publish(e, open, at, newWork(typed), func(p *contender.Publisher, w *contender.Work) {
			var all sync.WaitGroup
			for range n {
				all.Go(func() { waitEach(p, w) })
			}
			all.Wait()
		})
	}
}

func waitEach(p *contender.Publisher, w *contender.Work) {
	for !w.Stopped.Load() {
		if err := p.Wait(w); err != nil {
			w.Fail(err)
			return
		}
		w.Done.Add(1)
	}
}

func newWork(typed bool) *contender.Work {
	w := &contender.Work{Topic: topic, Payload: make([]byte, payloadSize)}
	if typed {
		w.Message = reading.Example()
	}
	return w
}

func publish(e *env, open contender.OpenPublisher, at on, w *contender.Work, run func(*contender.Publisher, *contender.Work)) (meter.Sample, error) {
	p, err := open(at(e))
	if err != nil {
		return meter.Sample{}, err
	}
	defer p.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		run(p, w)
	}()
	s := e.measure(w.Done.Load)
	w.Stopped.Store(true)
	<-done
	return s, w.Err()
}

// receive counts the messages that a source of the null broker sends.
func receive(open contender.OpenSubscriber, at on, qos byte, typed bool) load {
	return func(e *env) (meter.Sample, error) {
		var count atomic.Int64
		s := &contender.Subscription{QoS: qos}
		if typed {
			s.Filter = null.Filter(typedKind, e.topics)
			s.Typed = func(*reading.Reading) { count.Add(1) }
			return subscribe(e, open, at, s, count.Load)
		}
		last := newSequences(e.topics)
		s.Filter = null.Filter(null.Counted, e.topics)
		s.Handle = func(payload []byte) {
			last.saw(payload)
			count.Add(1)
		}
		sample, err := subscribe(e, open, at, s, count.Load)
		sample.Reorders, sample.Lost = last.result(count.Load())
		return sample, err
	}
}

func subscribe(e *env, open contender.OpenSubscriber, at on, s *contender.Subscription, count func() int64) (meter.Sample, error) {
	stop, err := open(at(e), s)
	if err != nil {
		return meter.Sample{}, err
	}
	sample := e.measure(count)
	stop()
	if sample.Rate == 0 {
		err = fmt.Errorf("no message arrived in %v", e.time)
	}
	return sample, err
}

// slowHandler is how long a handler of [ordered] takes.
const slowHandler = 833 * time.Microsecond

// ordered runs a slow handler with some workers, and checks the order of each topic.
func ordered(open contender.OpenSubscriber, workers int) load {
	return func(e *env) (meter.Sample, error) {
		var count atomic.Int64
		last := newSequences(e.topics)
		s := &contender.Subscription{QoS: 1, Filter: null.Filter(null.Counted, e.topics), Concurrency: workers}
		s.Handle = func(payload []byte) {
			last.saw(payload)
			time.Sleep(slowHandler)
			count.Add(1)
		}
		sample, err := subscribe(e, open, plain, s, count.Load)
		sample.Reorders, sample.Lost = last.result(count.Load())
		return sample, err
	}
}

// dispatch receives through a server with n filters, only one of which matches. The
// server is created once, the connection for each round.
func dispatch(n int) load {
	var server func() (func(), error)
	var count atomic.Int64
	return func(e *env) (meter.Sample, error) {
		if server == nil {
			s := &contender.Subscription{QoS: 0, Filter: null.Filter(null.Counted, e.topics), Handle: func([]byte) { count.Add(1) }}
			for i := range n - 1 {
				s.Others = append(s.Others, fmt.Sprintf("idle/%d/plant-7/+/telemetry", i))
			}
			srv, err := contender.NewServer(e.plain, s)
			if err != nil {
				return meter.Sample{}, err
			}
			server = func() (func(), error) { return contender.StartServer(srv) }
		}
		stop, err := server()
		if err != nil {
			return meter.Sample{}, err
		}
		defer stop()
		return e.measure(count.Load), nil
	}
}

// via returns a broker, which it starts at its first call.
type via func(*env) (host string, err error)

func viaMosquitto(e *env) (string, error) { return e.mosquitto() }
func viaOwn(e *env) (string, error)       { return e.own(roleBroker) }
func viaFile(e *env) (string, error)      { return e.own(roleFile) }

// endToEnd publishes through a broker for a while and ends once everything is delivered.
func endToEnd(pub contender.OpenPublisher, sub contender.OpenSubscriber, through via, version byte) load {
	return func(e *env) (meter.Sample, error) {
		host, err := through(e)
		if err != nil {
			return meter.Sample{}, err
		}
		t := contender.Target{Host: host, Version: version}
		var delivered atomic.Int64
		w := newWork(false)
		w.Topic = "source/through/" + topic
		stop, err := sub(t, &contender.Subscription{QoS: 1, Filter: "source/through/#", Handle: func([]byte) { delivered.Add(1) }})
		if err != nil {
			return meter.Sample{}, err
		}
		defer stop()
		p, err := pub(t)
		if err != nil {
			return meter.Sample{}, err
		}
		defer p.Close()
		if e.profile != nil {
			e.profile(true)
			defer e.profile(false)
		}
		return meter.Run(delivered.Load, func() error {
			end := time.AfterFunc(e.time, func() { w.Stopped.Store(true) })
			defer end.Stop()
			if err := p.Pipeline(w); err != nil {
				return err
			}
			return await(func() bool { return delivered.Load() >= w.Done.Load() })
		})
	}
}

func await(holds func() bool) error {
	for deadline := time.Now().Add(20 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("not everything was delivered within 20 s")
		}
	}
	return nil
}

package main

import (
	"slices"

	"github.com/kratos-mqtt/kratos-mqtt/bench/internal/contender"
	"github.com/kratos-mqtt/kratos-mqtt/bench/internal/meter"
)

// entry is one contender of a row.
type entry struct {
	name string
	load load
}

// goal compares two contenders of a row within each round. If the second one is
// fastestOther, it is determined after all rounds.
type goal struct {
	name      string
	of, over  string
	value     func(meter.Sample) float64
	must, aim float64 // 0 means no bound; an aim below must makes the number a cost: less is better
}

// allocGoal bounds the allocations of a single contender.
type allocGoal struct {
	name, of  string
	decodes   bool // proto.Unmarshal is not counted
	must, aim float64
}

// row is a workload and the contenders that run it.
type row struct {
	name    string
	entries []entry
	goals   []goal
	allocs  []allocGoal
	maxLost float64 // share of messages that our contenders may lose in any round; 0 means no limit
}

func rate(s meter.Sample) float64 { return s.Rate }
func cpu(s meter.Sample) float64  { return s.CPU }

// Names of contenders.
const (
	native = "native"
	eng    = "engine"
	compat = "compat"
	paho   = "paho"
	paho5  = "paho5"
	atwat  = "at-wat"
	raw    = "raw"
)

// fastestOther stands for the fastest contender that is not ours and lost nothing in any
// round.
const fastestOther = "fastest other without loss"

// ours reports whether a contender is part of this project.
func ours(name string) bool { return name == native || name == eng || name == compat }

// against returns goals that compare our three clients with another contender.
func against(name, over string, must, aim float64) []goal {
	return []goal{
		{name, native, over, rate, must, aim},
		{name + "-compat", compat, over, rate, 0, 0},
		{name + "-engine", eng, over, rate, 0, 0},
	}
}

func rows() []row {
	return slices.Concat(publishRows(), receiveRows(), otherRows(), observeRows())
}

func publishRows() []row {
	bytes := contender.Compat(false)
	const many = 64
	sync := func(name string, n int, must, aim float64) row {
		return row{
			name: name,
			entries: []entry{
				{native, waiting(contender.Native, plain, n)},
				{eng, waiting(contender.Engine, plain, n)},
				{compat, waiting(bytes, plain, n)},
				{paho, waiting(contender.Paho, plain, n)},
				{paho5, waiting(contender.Paho5, plain5, n)},
				{atwat, waiting(contender.Atwat, plain, n)},
			},
			goals: append(against(name, paho, must, aim), goal{name + "-cpu", native, paho, cpu, 0, 0}),
		}
	}
	return []row{
		{
			name: "publish-qos1-pipelined",
			entries: []entry{
				{native, pipeline(contender.Native, plain, false)},
				{eng, pipeline(contender.Engine, plain, false)},
				{compat, pipeline(bytes, plain, false)},
				{paho, pipeline(contender.Paho, plain, false)},
				{raw, pipeline(contender.Raw, plain, false)},
			},
			goals: append(against("publish-qos1-pipelined", paho, 12, 25),
				against("publish-qos1-pipelined-raw", raw, 0.4, 0.8)...),
			allocs: []allocGoal{{"publish", native, false, 2, 1}, {"publish-compat", compat, false, 0, 0}, {"publish-engine", eng, false, 0, 0}},
		},
		sync("publish-qos1-64", many, 3, 5),
		sync("publish-qos1-sync", 1, 1.2, 1.5),
		{
			name: "publish-typed",
			entries: []entry{
				{native, pipeline(contender.Native, plain, true)},
				{eng, pipeline(contender.Engine, plain, true)},
				{compat, pipeline(contender.Compat(true), plain, true)},
				{paho, pipeline(contender.Paho, plain, true)},
			},
			goals: against("publish-typed", paho, 4, 6),
		},
	}
}

func receiveRows() []row {
	receiving := func(name string, qos byte, must, aim float64) row {
		return row{
			name: name,
			entries: []entry{
				{native, receive(contender.NativeSubscriber, plain, qos, false)},
				{eng, receive(contender.EngineSubscriber, plain, qos, false)},
				{compat, receive(contender.CompatSubscriber, plain, qos, false)},
				{paho, receive(contender.PahoSubscriber, plain, qos, false)},
				{paho5, receive(contender.Paho5Subscriber, plain5, qos, false)},
				{atwat, receive(contender.AtwatSubscriber, plain, qos, false)},
			},
			goals: against(name, paho, must, aim),
		}
	}
	atMostOnce := receiving("receive-qos0", 0, 8, 25)
	atMostOnce.maxLost = 0.001
	// The goal is named after the library that is usually the fastest; the actual one is
	// determined in each run, because a client that drops messages is no yardstick.
	atMostOnce.goals = append(atMostOnce.goals, goal{"receive-qos0-atwat", native, fastestOther, rate, 1, 2})
	return []row{
		atMostOnce,
		receiving("receive-qos1", 1, 10, 40),
		{
			name: "receive-typed-qos1",
			entries: []entry{
				{native, receive(contender.NativeSubscriber, plain, 1, true)},
				{eng, receive(contender.EngineSubscriber, plain, 1, true)},
				{compat, receive(contender.CompatSubscriber, plain, 1, true)},
				{paho, receive(contender.PahoSubscriber, plain, 1, true)},
			},
			goals: against("receive-typed-qos1", paho, 3.5, 6),
			allocs: []allocGoal{
				{"receive-typed", native, true, 5, 3},
				{"receive-typed-compat", compat, true, 0, 0},
				{"receive-typed-engine", eng, true, 0, 0},
			},
		},
	}
}

// brokerRow compares brokers with the same client: ours in a process of its own, in
// memory and with a file, and mosquitto in memory.
func brokerRow(name string, version byte) row {
	const own, file, other = "in-process", "in-process-file", "mosquitto"
	return row{
		name: name,
		entries: []entry{
			{own, endToEnd(contender.Native, contender.NativeSubscriber, viaOwn, version)},
			{file, endToEnd(contender.Native, contender.NativeSubscriber, viaFile, version)},
			{other, endToEnd(contender.Native, contender.NativeSubscriber, viaMosquitto, version)},
		},
		goals: []goal{{name, own, other, rate, 0.5, 1}, {name + "-file", file, other, rate, 0.5, 1}},
	}
}

// observeRows compare our clients with themselves while metrics are made of each message,
// and spans that no sampler records. Publishes wait for their acknowledgement, as those of
// generated clients do.
func observeRows() []row {
	const bare, measured, traced = "bare", "metrics", "metrics and spans"
	const many = 64
	typed := contender.Compat(true)
	costs := func(name string, must, aim float64) []goal {
		return []goal{{name, measured, bare, cpu, must, aim}, {name + "-rate", measured, bare, rate, 0, 0}, {name + "-spans", traced, bare, cpu, 0, 0}}
	}
	return []row{
		{
			name: "observe-receive",
			entries: []entry{
				{bare, receive(contender.NativeSubscriber, plain, 1, true)},
				{measured, receive(contender.NativeSubscriber, observed(contender.Measured, plain), 1, true)},
				{traced, receive(contender.NativeSubscriber, observed(contender.Traced, plain), 1, true)},
			},
			goals: costs("observe-receive", 1.1, 1.05),
		},
		{
			name: "observe-publish",
			entries: []entry{
				{bare, waitingWith(typed, plain5, many, true)},
				{measured, waitingWith(typed, observed(contender.Measured, plain5), many, true)},
				{traced, waitingWith(typed, observed(contender.Traced, plain5), many, true)},
			},
			goals: costs("observe-publish", 1.05, 1.02),
		},
	}
}

func otherRows() []row {
	const five, three = "mqtt5", "3.1.1"
	return []row{
		{
			name: "mqtt5-publish",
			entries: []entry{
				{five, pipeline(contender.Native, plain5, false)},
				{three, pipeline(contender.Native, plain, false)},
			},
			goals: []goal{{"mqtt5-publish", five, three, rate, 0.9, 0.98}},
		},
		{
			name: "mqtt5-receive",
			entries: []entry{
				{five, receive(contender.NativeSubscriber, plain5, 1, false)},
				{three, receive(contender.NativeSubscriber, plain, 1, false)},
			},
			goals: []goal{{"mqtt5-receive", five, three, rate, 0.9, 0.98}},
		},
		{
			name: "tls-publish",
			entries: []entry{
				{native, pipeline(contender.Native, secure, false)},
				{paho, pipeline(contender.Paho, secure, false)},
			},
			goals: []goal{{"tls-publish", native, paho, rate, 10, 25}},
		},
		{
			name: "mosquitto-e2e",
			entries: []entry{
				{native, endToEnd(contender.Native, contender.NativeSubscriber, viaMosquitto, 4)},
				{paho, endToEnd(contender.Paho, contender.PahoSubscriber, viaMosquitto, 4)},
			},
			goals: []goal{
				{"mosquitto-e2e", native, paho, rate, 1.5, 3},
				{"mosquitto-e2e-cpu", native, paho, cpu, 0.5, 0.25},
			},
		},
		brokerRow("broker-e2e", 4),
		brokerRow("broker-e2e-mqtt5", 5),
		{
			name:    "dispatch-10k-filters",
			entries: []entry{{"10000", dispatch(10000)}, {"1", dispatch(1)}},
			goals:   []goal{{"dispatch-10k-filters", "10000", "1", cpu, 1.3, 1.1}},
		},
		{
			name: "ordered-12-workers",
			entries: []entry{
				{"12", ordered(contender.NativeSubscriber, 12)},
				{"1", ordered(contender.NativeSubscriber, 1)},
			},
			goals: []goal{{"ordered-12-workers", "12", "1", rate, 8, 11}},
		},
	}
}

package client

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// partitioned makes the client a replica of the service shop with partitions.
func partitioned(version Protocol, p Partitions) option {
	return func(c *Config) {
		as("shop", "h")(c)
		c.ClientID, c.Protocol, c.Partitions = "", version, p
	}
}

// registry tells replicas of each other, as a service registry does.
type registry struct {
	mu      sync.Mutex
	all     []string
	changed chan struct{}
}

func newRegistry(names ...string) *registry {
	return &registry{all: names, changed: make(chan struct{})}
}

func (r *registry) set(names ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = names
	close(r.changed)
	r.changed = make(chan struct{})
}

func (r *registry) watch(self string) func(context.Context, func(string, []string)) error {
	return func(ctx context.Context, update func(string, []string)) error {
		for {
			r.mu.Lock()
			all, changed := r.all, r.changed
			r.mu.Unlock()
			update(self, all)
			select {
			case <-changed:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
}

// received has the messages of all replicas, in the order of their handling.
type received struct {
	mu   sync.Mutex
	list []string // replica/topic/payload
}

func (r *received) by(replica string) Handler {
	return func(_ context.Context, d *Delivery) error {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.list = append(r.list, replica+" "+d.Topic+" "+string(d.Payload))
		return nil
	}
}

func (r *received) all() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.list)
}

// states returns the partitions of a client in a state.
func states(c *Client, state event.PartitionState) (list []int) {
	for _, p := range c.Health().Partitions {
		if p.State == state {
			list = append(list, p.Partition)
		}
	}
	return list
}

func owns(t *testing.T, c *Client, want ...int) {
	t.Helper()
	mqtttest.Eventually(t, patience, func() error {
		if got := states(c, event.PartitionOwned); !slices.Equal(got, want) {
			return fmt.Errorf("owns %v, want %v: %+v", got, want, c.Health().Partitions)
		}
		return nil
	})
}

// eachPartitioner runs a test on brokers that keep sessions, on both versions.
func eachPartitioner(t *testing.T, test func(t *testing.T, url string, version Protocol)) {
	t.Helper()
	for name, version := range map[string]Protocol{"3.1.1": Version31, "5": Version5} {
		t.Run("in-process "+name, func(t *testing.T) {
			t.Parallel()
			test(t, mqtttest.InProcess(t).URL(), version)
		})
		t.Run("mosquitto "+name, func(t *testing.T) {
			t.Parallel()
			test(t, mqtttest.Mosquitto(t).URL(), version)
		})
	}
	t.Run("nats", func(t *testing.T) {
		t.Parallel()
		test(t, mqtttest.NATS(t).URL(), Version31)
	})
}

const partitionedFilter = "jobs/{partition}/do"

func publishKeyed(t testing.TB, c *Client, key string, n int) {
	t.Helper()
	m := encoded(&Message{Topic: partitionedFilter, QoS: 1, Payload: fmt.Appendf(nil, "%s %d", key, n)}, nil)
	m.Key = key
	if err := c.Publish(within(t, patience), m); err != nil {
		t.Fatal(err)
	}
}

// Replicas with fixed partitions get the keys of theirs, and a partition without an owner waits
// at the broker.
func TestFixedPartitions(t *testing.T) {
	t.Parallel()
	eachPartitioner(t, func(t *testing.T, url string, version Protocol) {
		const count, n = 4, 60
		got := new(received)
		replica := func(name, owned string) *Client {
			c := client(t, url, partitioned(version, Partitions{Count: count, Owned: owned}))
			return running(t, c, &Subscription{Filter: "$share/g/" + partitionedFilter, QoS: 1, Handler: got.by(name)})
		}
		first, second := replica("a", "0-1"), replica("b", "2,3")
		owns(t, first, 0, 1)
		owns(t, second, 2, 3)
		if err := second.Stop(within(t, patience)); err != nil {
			t.Fatal(err)
		}
		source := running(t, client(t, url, partitioned(version, Partitions{Count: count})))
		for i := range n {
			publishKeyed(t, source, fmt.Sprintf("k%d", i%10), i)
		}
		replica("c", "2-3") // the queue of b
		mqtttest.Eventually(t, patience, func() error {
			if got := len(got.all()); got != n {
				return fmt.Errorf("%d of %d", got, n)
			}
			return nil
		})
		if twice := checkPartitions(t, got.all(), count, map[string][]int{"a": {0, 1}, "c": {2, 3}}, true); twice > 0 {
			t.Errorf("%d messages arrived twice", twice)
		}
	})
}

// distinct counts the messages without those that arrived again.
func distinct(list []string) int {
	all := make(map[string]bool)
	for _, line := range list {
		_, message, _ := strings.Cut(line, " ")
		all[message] = true
	}
	return len(all)
}

// checkPartitions checks that each message went to an owner of its partition, in the order of
// its key, and returns how many arrived twice.
func checkPartitions(t *testing.T, list []string, count int, owners map[string][]int, ordered bool) (twice int) {
	t.Helper()
	last, seen := make(map[string]int), make(map[string]bool)
	for _, line := range list {
		var replica, topic, key string
		var n int
		if _, err := fmt.Sscan(line, &replica, &topic, &key, &n); err != nil {
			t.Fatal(err)
		}
		p := event.PartitionOf(key, count)
		if want := fmt.Sprintf("jobs/%d/do", p); topic != want || owners != nil && !slices.Contains(owners[replica], p) {
			t.Errorf("%s, want %s at an owner of %v", line, want, owners)
		}
		if seen[key+" "+fmt.Sprint(n)] {
			twice++
			continue
		}
		if before, ok := last[key]; ok && n < before && ordered {
			t.Errorf("%s arrived after %d of the same key", line, before)
		}
		last[key], seen[key+" "+fmt.Sprint(n)] = n, true
	}
	return twice
}

// keepsOrder reports whether a broker sends what was not acknowledged before later messages. NATS
// sends it again after its ack_wait of 30 s.
func keepsOrder(t *testing.T) bool { return !strings.HasSuffix(t.Name(), "/nats") }

// A replica dies with messages in its hands: the others take its partitions at once, and get
// what it had not acknowledged, in order.
func TestDeadReplica(t *testing.T) {
	t.Parallel()
	eachPartitioner(t, func(t *testing.T, url string, version Protocol) {
		const count, keys, each = 4, 8, 20
		all, got, stuck := newRegistry("a", "b"), new(received), make(chan struct{})
		wire := mqtttest.NewProxy(t, url)
		dying := client(t, wire.URL(), partitioned(version, Partitions{Count: count, Watch: all.watch("a")}))
		defer close(stuck)
		running(t, dying, &Subscription{Filter: partitionedFilter, QoS: 1, Handler: func(ctx context.Context, _ *Delivery) error {
			select {
			case <-stuck:
			case <-ctx.Done():
			}
			return context.Canceled
		}})
		other := running(t, client(t, url, partitioned(version, Partitions{Count: count, Watch: all.watch("b"), Handover: time.Millisecond})),
			&Subscription{Filter: partitionedFilter, QoS: 1, Handler: got.by("b")})
		mqtttest.Eventually(t, patience, func() error {
			if a, b := states(dying, event.PartitionOwned), states(other, event.PartitionOwned); len(a) == 0 || len(a)+len(b) != count {
				return fmt.Errorf("%v and %v", a, b)
			}
			return nil
		})
		source := running(t, client(t, url, partitioned(version, Partitions{Count: count})))
		for i := range each {
			for k := range keys {
				publishKeyed(t, source, fmt.Sprintf("k%d", k), i)
			}
			if i == each/2 {
				wire.Refuse(true)
				wire.Cut()
				all.set("b")
			}
		}
		owns(t, other, 0, 1, 2, 3)
		mqtttest.Eventually(t, patience, func() error {
			if got := distinct(got.all()); got < keys*each {
				return fmt.Errorf("%d of %d", got, keys*each)
			}
			return nil
		})
		t.Logf("%d of %d arrived twice", checkPartitions(t, got.all(), count, nil, keepsOrder(t)), keys*each)
	})
}

// Replicas come and go under load: nothing is lost, and keys stay in order. Nothing arrives twice,
// unless a replica needs longer than the handover to leave, as on a busy machine.
func TestHandoverUnderLoad(t *testing.T) {
	t.Parallel()
	eachPartitioner(t, func(t *testing.T, url string, version Protocol) {
		const count, keys, each = 8, 12, 50
		seed := uint64(time.Now().UnixNano())
		t.Logf("seed %d", seed)
		random := rand.New(rand.NewPCG(seed, 0))
		all := newRegistry("a", "b")
		got := new(received)
		names := []string{"a", "b", "c"}
		replicas := make(map[string]*Client)
		for _, name := range names {
			c := client(t, url, partitioned(version, Partitions{Count: count, Watch: all.watch(name), Handover: 200 * time.Millisecond}))
			replicas[name] = running(t, c, &Subscription{Filter: partitionedFilter, QoS: 1, Handler: got.by(name)})
		}
		settled := func(names ...string) {
			mqtttest.Eventually(t, patience, func() error {
				var owned []int
				for _, name := range names {
					owned = append(owned, states(replicas[name], event.PartitionOwned)...)
				}
				if slices.Sort(owned); len(owned) != count || len(slices.Compact(owned)) != count {
					return fmt.Errorf("%v own %v", names, owned)
				}
				return nil
			})
		}
		settled("a", "b")
		source := running(t, client(t, url, partitioned(version, Partitions{Count: count})))
		published := make(chan struct{})
		go func() {
			defer close(published)
			for i := range each {
				for k := range keys {
					publishKeyed(t, source, fmt.Sprintf("k%d", k), i)
				}
			}
		}()
		for range 4 {
			live := names
			if out := random.IntN(len(names) + 1); out < len(names) {
				live = slices.Delete(slices.Clone(names), out, out+1)
			}
			all.set(live...)
			settled(live...)
		}
		<-published
		mqtttest.Eventually(t, patience, func() error {
			if got := distinct(got.all()); got < keys*each {
				return fmt.Errorf("%d of %d", got, keys*each)
			}
			return nil
		})
		t.Logf("%d of %d arrived twice", checkPartitions(t, got.all(), count, nil, keepsOrder(t)), keys*each)
	})
}

// On MQTT 5 the broker says that another owner took a partition: the one before yields, and
// does not take it back.
func TestFencedOwnerYields(t *testing.T) {
	t.Parallel()
	url := mqtttest.InProcess(t).URL()
	replica := func() *Client {
		c := client(t, url, partitioned(Version5, Partitions{Count: 2, Owned: "all"}))
		return running(t, c, &Subscription{Filter: partitionedFilter, QoS: 1, Handler: idle})
	}
	first := replica()
	owns(t, first, 0, 1)
	second := replica()
	owns(t, second, 0, 1)
	mqtttest.Eventually(t, patience, func() error {
		if got := states(first, event.PartitionYielded); !slices.Equal(got, []int{0, 1}) {
			return fmt.Errorf("yielded %v: %+v", got, first.Health().Partitions)
		}
		return nil
	})
	if got := second.Health(); got.LastLoss != nil || !got.Ready {
		t.Errorf("the new owner is not left alone: %+v", got.LastLoss)
	}
}

func TestPartitionSettings(t *testing.T) {
	t.Parallel()
	watch := newRegistry().watch("a")
	for name, tt := range map[string]struct {
		p    Partitions
		env  string
		want string
	}{
		"none":                {Partitions{}, "", ""},
		"publisher only":      {Partitions{Count: 8}, "", ""},
		"owned":               {Partitions{Count: 8, Owned: "0-3"}, "", ""},
		"replicas":            {Partitions{Count: 8, Replicas: 2}, "MQTT_ORDINAL=1", ""},
		"no count":            {Partitions{Owned: "1"}, "", "partitions.count: is 0, want 1 to 1024"},
		"too many":            {Partitions{Count: 5000}, "", "partitions.count: is 5000, want 1 to 1024"},
		"beyond":              {Partitions{Count: 8, Owned: "8"}, "", `partitions.owned: has "8", want numbers and ranges from 0 to 7`},
		"two ways":            {Partitions{Count: 8, Owned: "1", Replicas: 2}, "MQTT_ORDINAL=0", "partitions.owned: is one of three ways"},
		"registry and owned":  {Partitions{Count: 8, Owned: "1", Watch: watch}, "", "partitions.owned: is one of three ways"},
		"no ordinal":          {Partitions{Count: 8, Replicas: 2}, "", "partitions.replicas: needs the ordinal of this replica"},
		"an ordinal too high": {Partitions{Count: 8, Replicas: 2}, "MQTT_ORDINAL=2", "partitions.replicas: is 2, but this replica has the ordinal 2"},
		"a bad ordinal":       {Partitions{Count: 8, Replicas: 2}, "MQTT_ORDINAL=x", `MQTT_ORDINAL is "x"`},
		"a negative handover": {Partitions{Count: 8, Handover: -1}, "", "partitions.handover: is -1ns"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := Config{Connection: Connection{Addresses: []Address{{Host: "h"}}}, Partitions: tt.p}
			as("shop", "h", tt.env)(&cfg)
			if _, err := NewClient(cfg, nil); err == nil != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestPartitionsThatCannotWork(t *testing.T) {
	t.Parallel()
	url := mqtttest.InProcess(t).URL()
	sub := func(c *Client) error {
		_, err := c.Subscribe(t.Context(), &Subscription{Filter: partitionedFilter, Handler: idle})
		return err
	}
	if err := sub(client(t, url, partitioned(Version5, Partitions{Count: 2}))); err == nil || !strings.Contains(err.Error(), "none is assigned to this replica") {
		t.Errorf("got %v, want an error without an assignment", err)
	}
	unnamed := client(t, url, partitioned(Version5, Partitions{Count: 2, Owned: "all"}), as("", "h"))
	if err := sub(unnamed); err != nil {
		t.Fatal(err)
	}
	if err := unnamed.Start(within(t, patience)); err == nil || !strings.Contains(err.Error(), "need the name of the service") {
		t.Errorf("got %v, want an error without a name", err)
	}
	source := running(t, client(t, url, partitioned(Version5, Partitions{Count: 2})))
	if err := source.Publish(t.Context(), encoded(&Message{Topic: partitionedFilter, QoS: 1}, nil)); err == nil || !strings.Contains(err.Error(), "no ordering key") {
		t.Errorf("got %v, want an error without a key", err)
	}
	plain := running(t, client(t, url, as("shop", "h")))
	if err := plain.Publish(t.Context(), encoded(&Message{Topic: partitionedFilter, QoS: 1}, nil)); err == nil || !strings.Contains(err.Error(), "partitions.count") {
		t.Errorf("got %v, want an error without a number of partitions", err)
	}
}

// Without partitions in the settings a subscriber gets those of all.
func TestSubscriberOfAllPartitions(t *testing.T) {
	t.Parallel()
	url, got := mqtttest.InProcess(t).URL(), new(received)
	running(t, client(t, url, as("monitor", "h")), &Subscription{Filter: partitionedFilter, QoS: 1, Handler: got.by("m")})
	source := running(t, client(t, url, partitioned(Version5, Partitions{Count: 16}), named("source")))
	for i := range 20 {
		publishKeyed(t, source, fmt.Sprintf("k%d", i), i)
	}
	mqtttest.Eventually(t, patience, func() bool { return len(got.all()) == 20 })
	checkPartitions(t, got.all(), 16, nil, true)
}

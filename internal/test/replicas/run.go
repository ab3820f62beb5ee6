package replicas

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"

	"github.com/kratos-mqtt/kratos-mqtt/internal/test/postgres"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest/cluster"
)

// nodes is how many nodes the cluster has.
const nodes = 3

type run struct {
	tb     testing.TB
	o      Options
	dir    string
	random *rand.Rand

	cluster            cluster.Cluster
	shares             bool
	database           *postgres.Server
	db                 *sql.DB
	collectors, savers []*replica
	load               *load

	began      time.Time
	injected   map[string]int
	rolled     int64 // reports that nobody took during a rolling restart
	rebalanced []time.Duration
}

// Run runs the replicas and returns the verdict. Anything that prevents a verdict fails tb.
func Run(tb testing.TB, o Options) *Report {
	tb.Helper()
	o = o.withDefaults()
	if err := o.validate(); err != nil {
		tb.Fatalf("replicas: %v", err)
	}
	r := newRun(tb, o)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	posted := make(chan struct{})
	go func() { defer close(posted); r.load.run(ctx, int64(o.Messages)) }()
	r.faults(posted)
	<-posted
	r.settle()
	return r.report()
}

func newRun(tb testing.TB, o Options) *run {
	tb.Helper()
	r := &run{
		tb: tb, o: o, dir: tb.TempDir(), began: time.Now(), random: rand.New(rand.NewPCG(o.Seed, o.Seed)),
		injected: make(map[string]int),
	}
	// A commit that has returned survives the fault "postgres-restart".
	r.database = postgres.NewServer("synchronous_commit=on")
	tb.Cleanup(func() { _ = r.database.Close() })
	source := r.database.DSN(tb)
	db, err := sql.Open(postgres.Driver, source)
	r.check(err)
	r.db = db
	tb.Cleanup(func() { _ = db.Close() })
	preset := r.startCluster()

	transport := &http.Transport{MaxIdleConnsPerHost: keys}
	tb.Cleanup(transport.CloseIdleConnections)
	client := &http.Client{Transport: transport, Timeout: time.Minute}
	inGroups := ""
	if r.shares {
		inGroups = groups
	}
	for i := range o.Savers { // before the collectors: messages need a subscription
		r.savers = append(r.savers, r.newReplica(tb, fmt.Sprintf("saver-%d", i), i+1, func(s *replica, addr, nodes string) string {
			return fmt.Sprintf(saverConfig, addr, inGroups, nodes, preset, s.name, source)
		}))
	}
	for i := range o.Collectors {
		r.collectors = append(r.collectors, r.newReplica(tb, fmt.Sprintf("collector-%d", i), i, func(s *replica, addr, nodes string) string {
			return fmt.Sprintf(collectorConfig, addr, nodes, preset, s.name, s.outboxPath())
		}))
	}
	for _, s := range r.replicas() {
		r.check(s.start())
		r.check(s.awaitReady(client))
	}
	r.load = &load{client: client, collectors: r.collectors, pause: keys * time.Second / time.Duration(o.Rate), count: mqtttest.NewRecorder()}
	r.load.limit.Store(r.share(1))
	return r
}

// startCluster returns the preset of the service for it.
func (r *run) startCluster() (preset string) {
	switch r.o.Cluster {
	case "nats":
		r.cluster = cluster.NATS(r.tb, nodes)
		return "nats"
	case "gmqtt":
		r.cluster, r.shares = cluster.Gmqtt(r.tb, nodes), true
		return "gmqtt"
	}
	imitated, _ := r.o.preset()
	r.cluster, r.shares = cluster.Scripted(r.tb, nodes, imitated, broker.WithSeed(r.o.Seed)), imitated.Shares()
	if imitated == cluster.LikeNATS || imitated == cluster.LikeRabbitMQ {
		return string(imitated)
	}
	return ""
}

func (r *run) replicas() []*replica { return slices.Concat(r.savers, r.collectors) }

// share returns how many reports are posted when n faults begin.
func (r *run) share(n int) int64 {
	return int64(r.o.Messages) * int64(min(n, max(r.o.Faults, 0)+1)) / int64(max(r.o.Faults, 0)+1)
}

// faults injects faults, spread over the messages, until all are posted. The load waits when the
// next fault is due.
func (r *run) faults(posted <-chan struct{}) {
	kinds := slices.DeleteFunc(faults(), func(f fault) bool { return len(r.o.Kinds) > 0 && !slices.Contains(r.o.Kinds, f.name) })
	done, order := 0, []int(nil)
	for shown := time.Now(); ; {
		select {
		case <-posted:
			return
		case <-time.After(5 * time.Millisecond):
		}
		for _, s := range r.replicas() {
			r.check(s.running())
		}
		if time.Since(shown) >= time.Second {
			shown = time.Now()
			r.show()
		}
		if done >= r.o.Faults || r.load.next.Load() < r.share(done+1) {
			continue
		}
		if len(order) == 0 { // every kind once, then again in another order
			order = r.random.Perm(len(kinds))
		}
		f := kinds[order[0]]
		order = order[1:]
		end := r.watch()
		r.load.limit.Store(r.share(done + 2))
		f.inject(r)
		if took := end(); f.rebalances {
			r.rebalanced = append(r.rebalanced, took)
		}
		r.injected[f.name]++
		done++
	}
}

// watch measures how long it takes after a fault is injected until reports that are posted from
// then on are rows again, as many as there are keys.
func (r *run) watch() (end func() time.Duration) {
	began, from := time.Now(), r.load.next.Load()
	measured := make(chan time.Duration, 1)
	go func() {
		for time.Since(began) < time.Minute {
			var n int
			// Only the newest rows are read: the table is long.
			err := r.db.QueryRowContext(context.Background(), `SELECT count(*) FROM (SELECT report_data FROM realtime_warehousing ORDER BY seq DESC LIMIT 2000) newest
				WHERE (report_data::json->>'n')::bigint > $1`, from).Scan(&n)
			if err == nil && n >= keys {
				break
			}
			<-time.After(20 * time.Millisecond)
		}
		measured <- time.Since(began)
	}()
	return func() time.Duration { return <-measured }
}

func (r *run) show() {
	_, _ = fmt.Fprintf(r.o.Progress, "%4.0fs accepted %d refused %d rows %d faults %d\n",
		time.Since(r.began).Seconds(), r.load.accepted.Load(), r.load.refused.Load(), r.rows(), r.total())
}

func (r *run) total() (n int) {
	for _, k := range r.injected {
		n += k
	}
	return n
}

// rows returns the number of rows, 0 if the database does not answer.
func (r *run) rows() (n int) {
	_ = r.db.QueryRowContext(context.Background(), "SELECT count(*) FROM realtime_warehousing").Scan(&n)
	return n
}

// settle waits until every accepted report is a row, or no more come, and ends the replicas.
func (r *run) settle() {
	shown := time.Now()
	for last, since := -1, time.Now(); time.Since(since) < r.o.Quiet; <-time.After(200 * time.Millisecond) {
		n := r.rows()
		if n != last {
			last, since = n, time.Now()
		}
		if time.Since(shown) >= time.Second {
			shown = time.Now()
			r.show()
		}
		if n >= int(r.load.accepted.Load()) && r.waiting() == 0 {
			break
		}
	}
	for _, s := range slices.Concat(r.collectors, r.savers) {
		r.check(s.stop())
	}
}

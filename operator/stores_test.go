package operator_test

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"sync"
	"testing"

	"github.com/tx7do/kratos-transport/broker"
	"go.uber.org/goleak"
	_ "modernc.org/sqlite"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter/deadletterfile"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter/deadlettersql"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter/deadlettertest"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	"github.com/kratos-mqtt/kratos-mqtt/operator"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// letters are those of a store, published to a function.
type letters struct {
	store deadletter.Store

	mu        sync.Mutex
	published []*deadletter.Letter
	fail      func(l *deadletter.Letter) error
}

func (s *letters) DeadLetters() (deadletter.Store, error) { return s.store, nil }

func (s *letters) PublishLetter(_ context.Context, l *deadletter.Letter) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		if err := s.fail(l); err != nil {
			return err
		}
	}
	c := *l
	s.published = append(s.published, &c)
	return nil
}

// topics returns the topics in the order in which they were published.
func (s *letters) topics() (topics []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.published {
		topics = append(topics, l.Topic)
	}
	return topics
}

// onEach runs a test on every kind of store.
func onEach(t *testing.T, test func(t *testing.T, s *letters, o *operator.Operator)) {
	t.Helper()
	for name, open := range map[string]func(t *testing.T) deadletter.Store{
		"memory":   func(*testing.T) deadletter.Store { return deadletter.NewMemory(0) },
		"file":     openFile,
		"sqlite":   openSQLite,
		"retained": openRetained,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &letters{store: open(t)}
			test(t, s, operator.New(operator.Options{Source: s}))
		})
	}
}

func openFile(t *testing.T) deadletter.Store {
	t.Helper()
	s, err := deadletterfile.Open(filepath.Join(t.TempDir(), "letters"), deadletterfile.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func openSQLite(t *testing.T) deadletter.Store {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(t.TempDir(), "t.db")+"?_txlock=immediate&_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(OFF)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	s, err := deadlettersql.New(db, deadlettersql.Options{MaxLetters: 2_000_000, MaxBytes: 1 << 40, Share: 1})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// openRetained returns the retained letters of a broker that subscribes to plant/#.
func openRetained(t *testing.T) deadletter.Store {
	t.Helper()
	b := mqttbroker.NewBroker(
		broker.WithAddress(mqtttest.InProcess(t).URL()), mqttbroker.WithProtocol("5"), mqttbroker.WithServiceName("test"),
	)
	if err := errors.Join(b.Init(), b.Connect()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Disconnect() })
	if _, err := b.Subscribe("plant/#", func(context.Context, broker.Event) error { return nil }, nil); err != nil {
		t.Fatal(err)
	}
	s, err := b.DeadLetters()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// put stores dead letters, which change makes of the n-th letter.
func put(t *testing.T, s *letters, n int, change func(n int, l *deadletter.Letter)) {
	t.Helper()
	for i := range n {
		l := deadlettertest.Letter(i, deadletter.Dead)
		if change != nil {
			change(i, l)
		}
		if err := s.store.Put(t.Context(), l); err != nil {
			t.Fatal(err)
		}
	}
}

// left returns the ids of all letters in the store.
func left(t *testing.T, s *letters) (ids []string) {
	t.Helper()
	q := deadletter.Query{}
	for {
		page, err := s.store.List(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			return ids
		}
		for _, l := range page {
			ids = append(ids, l.ID)
			q.After = l.ID
		}
	}
}

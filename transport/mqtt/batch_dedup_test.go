package mqtt_test

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	kerrors "github.com/go-kratos/kratos/v2/errors"
	"github.com/tx7do/kratos-transport/broker"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"
	_ "modernc.org/sqlite"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/event/dedup"
	"github.com/kratos-mqtt/kratos-mqtt/event/dedup/dedupsql"
	"github.com/kratos-mqtt/kratos-mqtt/event/eventimpl"
	"github.com/kratos-mqtt/kratos-mqtt/event/sqltx"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// textStore keeps texts, in the window's transaction if it has one. If one text of a
// call is "poison", it refuses all texts of that call.
type textStore struct {
	window dedup.Window
	db     *sql.DB // nil: the texts are kept in memory

	mu   sync.Mutex
	list []string
}

func memoryTexts(t *testing.T) *textStore {
	w, err := dedup.NewMemory(dedup.MemoryOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return &textStore{window: w}
}

func sqlTexts(t *testing.T) *textStore {
	db, err := sql.Open("sqlite", "file:"+filepath.Join(t.TempDir(), "t.db")+"?_txlock=immediate&_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	db.SetMaxOpenConns(1)
	w, err := dedupsql.New(db, dedupsql.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), "CREATE TABLE texts (seq INTEGER PRIMARY KEY, value TEXT)"); err != nil {
		t.Fatal(err)
	}
	return &textStore{window: w, db: db}
}

var errPoison = kerrors.BadRequest("POISON", "cannot be stored")

func (s *textStore) save(ctx context.Context, texts []string) error {
	for _, text := range texts {
		if text == "poison" {
			return errPoison
		}
		if s.db == nil {
			continue
		}
		if _, err := sqltx.Or(ctx, s.db).ExecContext(ctx, "INSERT INTO texts (value) VALUES ($1)", text); err != nil {
			return err
		}
	}
	if s.db == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.list = append(s.list, texts...)
	}
	return nil
}

func (s *textStore) texts(t *testing.T) (list []string) {
	t.Helper()
	if s.db == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		return slices.Clone(s.list)
	}
	rows, err := s.db.QueryContext(t.Context(), "SELECT value FROM texts ORDER BY seq")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			t.Fatal(err)
		}
		list = append(list, text)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return list
}

// batchedTexts starts a server that handles texts in batches of the given size, and
// returns a function that publishes them. The text is the id of the message, unless it
// is "no id".
func batchedTexts(t *testing.T, w dedup.Window, size int, letters deadletter.Store, handler func(context.Context, []string) error) (*mqttserver.Server, func(texts ...string)) {
	t.Helper()
	url := mqtttest.InProcess(t).URL()
	d := textService()
	m := &d.Methods[0]
	m.Topic, m.Filters = "texts", []string{"texts"}
	m.ID = func(in proto.Message) string {
		if v := in.(*wrapperspb.StringValue).GetValue(); v != "no id" {
			return v
		}
		return ""
	}
	srv, _ := server(t, url, mqttserver.WithBrokerOptions(mqttbroker.WithDedup(w), mqttbroker.WithDeadLetters(letters)))
	one := func(context.Context, *wrapperspb.StringValue) (*emptypb.Empty, error) {
		return nil, errors.New("not a batch")
	}
	srv.RegisterService(d, []event.Handler{eventimpl.NewHandler(m, one)},
		eventimpl.NewBatch(m, func(ctx context.Context, in []*wrapperspb.StringValue) error {
			texts := make([]string, len(in))
			for i := range in {
				texts[i] = in[i].GetValue()
			}
			return handler(ctx, texts)
		}, event.BatchSize(size), event.BatchWait(time.Hour)))
	start(t, srv)
	p, err := mqttbroker.NewPublisher(broker.WithAddress(url), mqttbroker.WithProtocol("3.1.1"))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Stop(context.Background()) })
	return srv, func(texts ...string) {
		t.Helper()
		for _, text := range texts {
			payload, err := proto.Marshal(wrapperspb.String(text))
			if err != nil {
				t.Fatal(err)
			}
			if err := p.Publish(within(t, patience), "texts", payload, event.QoS(1)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func windows(t *testing.T, test func(t *testing.T, s *textStore)) {
	for name, open := range map[string]func(*testing.T) *textStore{"memory": memoryTexts, "sql": sqlTexts} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

// The dedup window is checked for batches: within a batch and across batches each id is
// handled once. A message without an id is handled every time.
func TestDedupInBatches(t *testing.T) {
	t.Parallel()
	windows(t, func(t *testing.T, s *textStore) {
		srv, publish := batchedTexts(t, s.window, 5, deadletter.NewMemory(0), s.save)
		publish("a", "no id", "b", "a", "no id") // one batch
		publish("b", "c", "a", "c", "no id")     // another one
		publish("c", "b", "a", "a", "b")         // nothing to handle
		publish("d", "no id", "no id", "d", "a")
		want := []string{"a", "no id", "b", "no id", "c", "no id", "d", "no id", "no id"}
		mqtttest.Eventually(t, patience, func() bool { return len(s.texts(t)) == len(want) }, "not all are stored")
		if got := s.texts(t); !slices.Equal(got, want) {
			t.Errorf("stored %q, want %q", got, want)
		}
		mqtttest.Eventually(t, patience, func() bool { return srv.Health().Duplicates == 11 }, "duplicates are not counted")
		if n := srv.Health().WithoutID; n != 5 {
			t.Errorf("%d messages without id, want 5", n)
		}
	})
}

// A message that fails within a batch is handled again alone. Its id is remembered only
// after that succeeds.
func TestDedupOfAFailedItem(t *testing.T) {
	t.Parallel()
	windows(t, func(t *testing.T, s *textStore) {
		failures := make(chan struct{}, 2)
		failures <- struct{}{}
		failures <- struct{}{}
		_, publish := batchedTexts(t, s.window, 3, deadletter.NewMemory(0), func(ctx context.Context, texts []string) error {
			errs, good := make(event.ItemErrors, len(texts)), []string(nil)
			for i, text := range texts {
				if text == "later" {
					select {
					case <-failures:
						errs[i] = errors.New("not yet")
						continue
					default:
					}
				}
				good = append(good, text)
			}
			if err := s.save(ctx, good); err != nil {
				return err
			}
			return errs
		})
		publish("a", "later", "b")
		mqtttest.Eventually(t, patience, func() bool { return slices.Equal(s.texts(t), []string{"a", "b", "later"}) }, "what failed is not handled again")
		publish("later", "a", "c")
		mqtttest.Eventually(t, patience, func() bool { return slices.Equal(s.texts(t), []string{"a", "b", "later", "c"}) }, "c is not stored")
	})
}

// A message that fails its whole batch does not fail the others: they are handled one
// by one, each once.
func TestDedupOfAPoisonedBatch(t *testing.T) {
	t.Parallel()
	windows(t, func(t *testing.T, s *textStore) {
		letters := deadletter.NewMemory(0)
		srv, publish := batchedTexts(t, s.window, 4, letters, s.save)
		publish("a", "b", "poison", "c")
		mqtttest.Eventually(t, patience, func() bool {
			st, err := letters.Stats(t.Context())
			return err == nil && st.Dead == 1 && len(s.texts(t)) == 3
		}, "not all of the batch came to an end")
		publish("c", "b", "a", "d")
		mqtttest.Eventually(t, patience, func() bool { return len(s.texts(t)) == 4 }, "the next batch is not stored")
		if got := s.texts(t); !slices.Equal(got, []string{"a", "b", "c", "d"}) {
			t.Errorf("stored %q", got)
		}
		mqtttest.Eventually(t, patience, func() bool { return srv.Health().Duplicates == 3 }, "duplicates are not counted")
	})
}

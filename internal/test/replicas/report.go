package replicas

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/outbox/outboxfile"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// Report is the result of a run.
type Report struct {
	mqtttest.Report
	// Refused counts posts that no collector took; RefusedRolling, those during rolling
	// restarts, and LastRefusal is the last reason.
	Refused, RefusedRolling int
	LastRefusal             error
	// Reordered counts rows that were stored after a later one of their key. Several savers
	// of a group promise no order.
	Reordered int
	// Faults by kind.
	Faults map[string]int
	// Rebalance is how long it took after each fault that moves work to other replicas or
	// nodes until new reports were stored, sorted. It includes the time until the broker
	// notices.
	Rebalance []time.Duration
	Took      time.Duration
	Seed      uint64
}

func (r *run) report() *Report {
	rep := &Report{
		Refused: int(r.load.refused.Load()), RefusedRolling: int(r.rolled), LastRefusal: r.load.last,
		Faults: r.injected, Rebalance: slices.Sorted(slices.Values(r.rebalanced)), Took: time.Since(r.began), Seed: r.o.Seed,
	}
	r.check(r.readRows(rep))
	r.check(r.readLetters())
	for _, s := range r.collectors {
		r.check(readOutbox(s.outboxPath(), r.load.count))
	}
	rep.Report = r.load.count.Report()
	return rep
}

func (r *run) readRows(rep *Report) error {
	rows, err := r.db.QueryContext(context.Background(), "SELECT report_data FROM realtime_warehousing ORDER BY seq")
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	highest := map[int]int64{}
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return err
		}
		var content struct {
			N   int64 `json:"n"`
			Key int   `json:"key"`
		}
		if err := json.Unmarshal([]byte(text), &content); err != nil {
			return err
		}
		r.load.count.Handled(strconv.FormatInt(content.N, 10))
		if content.N < highest[content.Key] {
			rep.Reordered++
		}
		highest[content.Key] = max(highest[content.Key], content.N)
	}
	return rows.Err()
}

var number = regexp.MustCompile(`"n":(\d+),"key"`)

func (r *run) readLetters() error {
	rows, err := r.db.QueryContext(context.Background(), "SELECT payload FROM mqtt_dead_letter")
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var payload []byte
		if err := rows.Scan(&payload); err != nil {
			return err
		}
		if found := number.FindSubmatch(payload); found != nil {
			r.load.count.Dead(string(found[1]))
		}
	}
	return rows.Err()
}

func readOutbox(path string, count *mqtttest.Recorder) error {
	store, err := outboxfile.Open(path, outboxfile.Options{})
	if err != nil {
		return err
	}
	defer func() { _ = store.Close() }()
	for after := uint64(0); ; {
		page, err := store.Read(context.Background(), after, 1000)
		if err != nil || len(page) == 0 {
			return err
		}
		for _, e := range page {
			if found := number.FindSubmatch(e.Payload); found != nil {
				count.InOutbox(string(found[1]))
			}
			after = e.Seq
		}
	}
}

// waiting returns how many messages the metrics of the collectors say are in their outboxes.
func (r *run) waiting() (n int) {
	for _, s := range r.collectors {
		response, err := r.load.client.Get(s.base + "/metrics") //nolint:noctx // the client has a time limit
		if err != nil {
			return 1
		}
		text, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if err != nil {
			return 1
		}
		for _, found := range waitingMetric.FindAllSubmatch(text, -1) {
			f, _ := strconv.ParseFloat(string(found[1]), 64)
			n += int(f)
		}
	}
	return n
}

var waitingMetric = regexp.MustCompile(`(?m)^kratosmqtt_outbox_depth(?:\{[^}]*\})? (\S+)$`)

// Err returns why the run failed, or nil. lossless says that the cluster loses nothing that it
// has acknowledged.
func (r *Report) Err(lossless bool) error {
	var errs []error
	if lossless {
		errs = append(errs, r.Report.Err())
	}
	if len(r.Unexpected) > 0 {
		errs = append(errs, fmt.Errorf("%d rows that nobody posted", len(r.Unexpected)))
	}
	if r.Duplicates > 0 {
		errs = append(errs, fmt.Errorf("%d reports were stored twice: %q", r.Duplicates, r.Duplicated[:min(5, len(r.Duplicated))]))
	}
	if r.RefusedRolling > 0 {
		errs = append(errs, fmt.Errorf("%d posts failed during rolling restarts, the last because of %w", r.RefusedRolling, r.LastRefusal))
	}
	return errors.Join(errs...)
}

// Details are the lines before the last one.
func (r *Report) Details() string {
	var b strings.Builder
	for _, kind := range faults() {
		if n := r.Faults[kind.name]; n > 0 {
			fmt.Fprintf(&b, "%6d %s\n", n, kind.name)
		}
	}
	fmt.Fprintf(&b, "reordered %d, unknown outcome but stored %d, refused %d, of these during rolling restarts %d; %d rows/s\n",
		r.Reordered, len(r.Recovered), r.Refused, r.RefusedRolling, int(float64(r.Handled)/r.Took.Seconds()))
	if n := len(r.Rebalance); n > 0 {
		fmt.Fprintf(&b, "new reports were stored after the kill of a node or saver, or a cut, within p50 %v p99 %v\n",
			r.Rebalance[n/2].Round(time.Millisecond), r.Rebalance[min(n-1, n*99/100)].Round(time.Millisecond))
	}
	return b.String()
}

// String is the last line of a run, as that of make faults.
func (r *Report) String() string {
	n := 0
	for _, k := range r.Faults {
		n += k
	}
	return fmt.Sprintf("%s faults %d seed %d", r.Summary(), n, r.Seed)
}

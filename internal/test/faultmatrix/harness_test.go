package faultmatrix_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"regexp"
	"runtime/pprof"
	"strconv"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// patience bounds what is expected to happen soon.
const patience = time.Minute

// harness is the environment of one row on one version of MQTT.
type harness struct {
	*testing.T
	version string // "3.1.1" or "5"
	name    string // unique to the row; the prefix of its client ids and topics
	said    transcript
	rec     *mqtttest.Recorder
}

// label marks the goroutines of a row and all goroutines that they start.
const label = "fault"

// newHarness must be called on the goroutine of the test, before anything else of the row
// is started.
func newHarness(t *testing.T, version string) *harness {
	t.Helper()
	h := &harness{T: t, version: version, name: unique(t), rec: mqtttest.NewRecorder()}
	pprof.SetGoroutineLabels(pprof.WithLabels(context.Background(), pprof.Labels(label, h.name)))
	t.Cleanup(h.finish)
	return h
}

// eachVersion runs a row on both versions in parallel.
func eachVersion(t *testing.T, row func(h *harness)) {
	t.Helper()
	for _, version := range []string{"3.1.1", "5"} {
		t.Run("MQTT "+version, func(t *testing.T) {
			t.Parallel()
			row(newHarness(t, version))
		})
	}
}

// oneByOne runs a row that measures memory on both versions, one at a time.
func oneByOne(t *testing.T, row func(h *harness)) {
	t.Helper()
	for _, version := range []string{"3.1.1", "5"} {
		t.Run("MQTT "+version, func(t *testing.T) { row(newHarness(t, version)) })
	}
}

// five reports whether the row runs on MQTT 5.
func (h *harness) five() bool { return h.version == "5" }

// unique returns a short name that is valid in a client id and a topic.
func unique(t *testing.T) string {
	return regexp.MustCompile(`[^A-Za-z0-9]+`).ReplaceAllString(t.Name(), "-")
}

// mosquitto starts a broker that accepts only the planted credentials.
func (h *harness) mosquitto(opts ...mqtttest.MosquittoOption) *mqtttest.MosquittoBroker {
	h.Helper()
	return mqtttest.Mosquitto(h, append([]mqtttest.MosquittoOption{
		mqtttest.WithCredentials(planted.user, planted.password),
	}, opts...)...)
}

// finish runs last in a row, after its clients and brokers have ended.
func (h *harness) finish() {
	h.Helper()
	mqtttest.Eventually(h, patience, func() error {
		if n := h.goroutines(); n > 1 { // the current goroutine
			return fmt.Errorf("%d goroutines of the row are left", n-1)
		}
		return nil
	})
	for _, leak := range planted.leaks(h.said.text()) {
		h.Errorf("a secret was told: %s", leak)
	}
	if h.Failed() {
		log := h.said.logged.String()
		h.Logf("end of the log:\n%s", log[max(0, len(log)-2500):])
	}
}

// counted matches a group of equal goroutines in the text form of the profile, labelled
// the labels of the group.
var (
	counted  = regexp.MustCompile(`(?m)^(\d+) @`)
	labelled = regexp.MustCompile(`(?m)^# labels: (.*)$`)
)

// goroutines counts the goroutines of this row.
func (h *harness) goroutines() (n int) {
	var profile bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&profile, 1); err != nil {
		h.Error(err)
	}
	mine := fmt.Appendf(nil, "%q:%q", label, h.name)
	for group := range bytes.SplitSeq(profile.Bytes(), []byte("\n\n")) {
		count, labels := counted.FindSubmatch(group), labelled.FindSubmatch(group)
		if count != nil && labels != nil && bytes.Contains(labels[1], mine) {
			k, _ := strconv.Atoi(string(count[1]))
			n += k
		}
	}
	return n
}

// within returns a context that ends with the row, or after d.
func (h *harness) within(d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(h.Context(), d)
	h.Cleanup(cancel)
	return ctx
}

// eventually waits for a condition.
func (h *harness) eventually(cond func() error, message ...any) {
	h.Helper()
	mqtttest.Eventually(h, patience, cond, message...)
}

// figure logs a measured value.
func (h *harness) figure(name string, value any) {
	h.Helper()
	h.Logf("figure: %s, MQTT %s %v", name, h.version, value)
}

// pause waits for the duration of a fault or of a handler's work. It must not be used to
// wait for a state.
func pause(d time.Duration) { <-time.After(d) }

// size returns a number from the environment, for rows that can run larger than usual.
func (h *harness) size(variable string, usual int) int {
	h.Helper()
	v := os.Getenv(variable)
	if v == "" {
		return usual
	}
	n, err := strconv.Atoi(v)
	if err != nil {
		h.Fatalf("%s: %v", variable, err)
	}
	return n
}

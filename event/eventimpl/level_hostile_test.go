package eventimpl_test

import (
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/event/eventimpl"
	"github.com/kratos-mqtt/kratos-mqtt/internal/test/badinput"
)

// The table of bad topics has values of parameters, too. Building a topic and
// reading one refuse the same.
func TestHostileLevels(t *testing.T) {
	t.Parallel()
	list, err := badinput.Topics()
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for _, row := range list {
		if row.Check != "param" {
			continue
		}
		rows++
		t.Run(row.Rule+"/"+row.Case, func(t *testing.T) {
			t.Parallel()
			var b eventimpl.TopicBuilder
			b.String("field", row.Input[0])
			topic, err := b.Topic()
			if (err == nil) != (row.Want == "ok") {
				t.Errorf("building: %v, want %s", err, row.Want)
			}
			if row.Rule == "MQTT-4.7.3-3" {
				return // a topic that arrives is never that long
			}
			if err == nil && topic != row.Input[0] {
				t.Errorf("the topic is %q", topic)
			}
			r := eventimpl.ReadTopic(row.Input[0])
			if level, err := r.Level(), r.Err(); (err == nil && level == row.Input[0]) != (row.Want == "ok") {
				t.Errorf("reading: %q, %v, want %s", level, err, row.Want)
			}
		})
	}
	if rows < 80 {
		t.Errorf("%d values of parameters, want at least 80", rows)
	}
}

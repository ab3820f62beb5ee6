package server

import (
	"strings"
	"testing"

	"github.com/go-kratos/kratos/v2/log"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/operator"
)

// An action of an operator is a line with a constant message; no text of a caller looks like
// another field.
func TestAudit(t *testing.T) {
	t.Parallel()
	topics := strings.Split(strings.Repeat("a ", 12)+"b", " ")
	for want, a := range map[string]operator.Action{
		"INFO msg=an operator acted kratosmqtt.operator.action=replay kratosmqtt.operator.by=me kratosmqtt.operator.selected=4 " +
			"kratosmqtt.operator.done=1 kratosmqtt.operator.failed=2 kratosmqtt.operator.held=1": {
			Name: "replay", By: "me", Outcome: operator.Outcome{Selected: 4, Done: 1, Failed: 2, Held: 1},
		},
		`WARN msg=an action of an operator failed kratosmqtt.operator.action=pause kratosmqtt.operator.by="me kratosmqtt.operator.by=you" ` +
			`messaging.destination.subscription.name=devices/# kratosmqtt.pause.reason="a repair" error.message=mqtt: pause: not connected error.type=NOT_CONNECTED`: {
			Name: "pause", By: "me kratosmqtt.operator.by=you", Subscription: "devices/#", Why: "a repair", Err: &event.Error{Op: "pause", Reason: event.ReasonNotConnected},
		},
		`INFO msg=an operator acted kratosmqtt.operator.action=clear-retained kratosmqtt.operator.by="" kratosmqtt.operator.selected=0 ` +
			`kratosmqtt.operator.done=0 kratosmqtt.operator.failed=0 kratosmqtt.operator.held=0 kratosmqtt.operator.dry_run=true ` +
			`kratosmqtt.operator.edited_sha256=00ff kratosmqtt.count=13 kratosmqtt.operator.topics=["a" "a" "a" "a" "a" "a" "a" "a" "a" "a"]`: {
			Name: "clear-retained", DryRun: true, Edit: deadletter.Edit{SHA256: "00ff"}, Topics: topics,
		},
	} {
		var out strings.Builder
		audit(log.NewHelper(log.NewStdLogger(&out)))(a)
		if got := strings.TrimSpace(out.String()); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

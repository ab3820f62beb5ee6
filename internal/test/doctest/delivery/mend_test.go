package delivery

import (
	"context"

	"github.com/kratos-mqtt/kratos-mqtt/operator"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// Mend replays what failed for one cause, once that is mended, at most ten a second, and returns what it left.
func Mend(ctx context.Context, srv *mqttserver.Server, fingerprint string) (left []operator.Problem, err error) {
	letters := operator.New(operator.Options{Source: srv, Parked: srv, Outbox: srv})
	work := operator.Bulk{Criteria: operator.Criteria{Fingerprint: fingerprint}, Rate: 10}
	for {
		out, err := letters.Replay(ctx, work)
		left = append(left, out.Problems...)
		if work.Cursor = out.Next; err != nil || work.Cursor == "" {
			return left, err
		}
	}
}

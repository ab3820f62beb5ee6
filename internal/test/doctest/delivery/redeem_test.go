package delivery

import (
	"context"

	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// Redeem publishes the oldest dead letters again, each under the id that its message had, and drops what is
// beyond help.
func Redeem(ctx context.Context, srv *mqttserver.Server, hopeless func(*deadletter.Letter) bool) error {
	store, err := srv.DeadLetters()
	if err != nil {
		return err
	}
	letters, err := store.List(ctx, deadletter.Query{State: deadletter.Dead}) // 100 at a time, oldest first
	if err != nil {
		return err
	}
	for _, l := range letters {
		if hopeless(l) {
			_, err = deadletter.Delete(ctx, store, l.ID)
		} else {
			_, err = srv.Replay(ctx, l.ID)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

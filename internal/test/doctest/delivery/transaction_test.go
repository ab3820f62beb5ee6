package delivery

import (
	"context"
	"database/sql"

	"github.com/tx7do/kratos-transport/broker"

	kratosmqttv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event/dedup/dedupsql"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox/outboxsql"
	"github.com/kratos-mqtt/kratos-mqtt/event/sqltx"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

type Order struct {
	ID string `json:"id"`
}

// NewOrders handles each order once: its row, its id and the message that follows from it commit together.
func NewOrders(c *kratosmqttv1.Connection, window *dedupsql.Window, messages *outboxsql.Store) (*mqttserver.Server, error) {
	srv := mqttserver.NewServer(
		mqttserver.WithBrokerOptions(mqttbroker.WithConnectionConfig(c), mqttbroker.WithServiceName("orders"),
			mqttbroker.WithDedup(window), mqttbroker.WithOutbox(messages)),
		mqttserver.WithCodec("json"),
	)
	place := func(ctx context.Context, _ string, _ broker.Headers, o *Order) error {
		if _, err := sqltx.From(ctx).ExecContext(ctx, "INSERT INTO orders (id) VALUES ($1)", o.ID); err != nil {
			return err // of the transaction nothing is left, and the message is tried again
		}
		return srv.Publish(ctx, "orders/accepted", broker.NewMessage(o)) // sent after the commit
	}
	return srv, mqttserver.RegisterSubscriber(srv, context.Background(), "orders/placed", place, mqttbroker.WithSubscribeIDField("id"))
}

// Migrate makes the tables, at a start or in a migration of the service's own.
func Migrate(ctx context.Context, db *sql.DB) (*dedupsql.Window, *outboxsql.Store, error) {
	window, err := dedupsql.New(db, dedupsql.Options{})
	if err != nil {
		return nil, nil, err
	}
	messages, err := outboxsql.New(db, outboxsql.Options{})
	if err != nil {
		return nil, nil, err
	}
	return window, messages, sqltx.Run(ctx, db, func(ctx context.Context) error {
		if err := window.Migrate(ctx); err != nil {
			return err
		}
		return messages.Migrate(ctx)
	})
}

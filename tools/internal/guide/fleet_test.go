package guide

import (
	"context"
	"sync"

	kerrors "github.com/go-kratos/kratos/v2/errors"
	"github.com/tx7do/kratos-transport/broker"
	"google.golang.org/protobuf/types/known/emptypb"

	kratosmqttv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	v1 "github.com/kratos-mqtt/kratos-mqtt/tools/internal/golden/cases/guide"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

type FleetEventsService struct{ store *Store }

// SaveReading acknowledges the message by returning nil.
func (s *FleetEventsService) SaveReading(ctx context.Context, in *v1.Reading) (*emptypb.Empty, error) {
	return &emptypb.Empty{}, s.store.Save(ctx, in) // in.DeviceId is from the topic
}

func NewMQTTServer(c *kratosmqttv1.Connection, fleet *FleetEventsService) *mqttserver.Server {
	srv := mqttserver.NewServer(mqttserver.WithBrokerOptions(mqttbroker.WithConnectionConfig(c), mqttbroker.WithServiceName("fleet")))
	v1.RegisterFleetEventsMQTTServer(srv, fleet, event.StrictTopic())
	return srv
}

// GetState answers a request. The client gets code, reason and message of a Kratos error,
// and errors.Is finds it there; any other error is logged here in full, and is an internal
// error at the client.
func (s *FleetEventsService) GetState(_ context.Context, in *v1.StateRequest) (*v1.State, error) {
	if in.GetDeviceId() != "gate-1" {
		return nil, kerrors.NotFound("NO_DEVICE", "there is no such device")
	}
	return &v1.State{Open: true}, nil
}

func NewFleetEvents(b broker.Broker) v1.FleetEventsMQTTClient {
	return v1.NewFleetEventsMQTTClient(mqttbroker.NewClientConn(b))
}

func send(ctx context.Context, fleet v1.FleetEventsMQTTClient) error {
	// Returns once the broker has acknowledged the message.
	return fleet.SaveReading(ctx, &v1.Reading{DeviceId: "gate-1", Celsius: 21.5, EventId: "7"},
		event.Header("x-md-site", "berlin"))
}

func registerBatches(srv *mqttserver.Server, fleet *FleetEventsService) {
	v1.RegisterFleetEventsMQTTServer(srv, fleet,
		v1.FleetEvents_SaveReading_MQTT_Batch(fleet.SaveReadings, event.BatchSize(500)))
}

// SaveReadings decides about each message separately.
func (s *FleetEventsService) SaveReadings(ctx context.Context, in []*v1.Reading) error {
	errs := make(event.ItemErrors, len(in))
	for i, reading := range in {
		errs[i] = s.store.Save(ctx, reading)
	}
	return errs
}

func watch(srv *mqttserver.Server, online func(clientID string, is bool)) {
	v1.WatchFleetEventsPresence(srv, func(_ context.Context, p *kratosmqttv1.Presence) error {
		online(p.GetClientId(), p.GetOnline())
		return nil
	})
}

// Store stands for the use case of a service.
type Store struct {
	mu    sync.Mutex
	saved []*v1.Reading
	more  chan struct{}
}

func NewStore() *Store { return &Store{more: make(chan struct{}, 100)} }

func (s *Store) Save(_ context.Context, in *v1.Reading) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.saved = append(s.saved, in)
	s.more <- struct{}{}
	return nil
}

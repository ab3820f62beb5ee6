package command

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/eventproto"
	"github.com/kratos-mqtt/kratos-mqtt/observe"
	"github.com/kratos-mqtt/kratos-mqtt/observe/console"
	"github.com/kratos-mqtt/kratos-mqtt/operator/remote"
)

// named is a hook of the console for messages that a tail receives. The operation of each is
// that whose filter matches its topic, because a tail has none.
type named struct {
	*console.Recorder
	methods eventproto.Methods
}

// OnArrival implements event.ArrivalHook.
func (n *named) OnArrival(info event.ArrivalInfo) {
	n.name(&info.Delivery)
	n.Recorder.OnArrival(info)
}

// OnHandle implements event.HandleHook.
func (n *named) OnHandle(info event.HandleInfo) {
	n.name(&info.Delivery)
	n.Recorder.OnHandle(info)
}

func (n *named) name(d *event.Delivery) {
	if found := n.methods.Of(d.Topic); len(found) > 0 {
		d.Operation, d.Template = found[0].Operation, found[0].Topic
	}
}

// page serves the console of the messages that the next connection receives. It returns the
// address, and a function that ends it.
func (s *session) page(ctx context.Context, address string) (url string, end func(), err error) {
	files, err := s.files(ctx, s.own)
	if err != nil {
		return "", nil, err
	}
	methods, _ := eventproto.OpenMethods(files) // tail reports the problems, and the contract shows them
	recorder, probe := console.NewRecorder(), observe.NewProbe(observe.Limits{})
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return "", nil, fmt.Errorf("console: %w: --console with another address, or with \"\" for none", err)
	}
	if err := remote.NewGuard("").Check(listener.Addr()); err != nil {
		_ = listener.Close()
		return "", nil, fmt.Errorf("console: %s is beyond this machine: --console with an address such as 127.0.0.1:8080", listener.Addr())
	}
	server := &http.Server{ReadHeaderTimeout: 10 * time.Second}
	var serving sync.WaitGroup
	end = func() {
		_ = server.Close()
		_ = listener.Close() // also if nothing was served
		serving.Wait()
	}
	s.hooks = append(s.hooks, &named{recorder, methods}, probe)
	s.connected = func(b *mqttbroker.Broker) error {
		page, err := console.New(console.Options{Recorder: recorder, Probe: probe, Service: "kratos-mqtt dev", Files: files, Publisher: mqttbroker.NewClientConn(b)})
		if err != nil {
			return err
		}
		probe.Watch(b)
		server.Handler = page
		serving.Go(func() {
			defer page.Close()
			if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
				fmt.Fprintln(s.Err, "console:", err)
			}
		})
		return nil
	}
	return "http://" + listener.Addr().String() + "/", end, nil
}

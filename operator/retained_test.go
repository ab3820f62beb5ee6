package operator_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-kratos/kratos/v2/log"
	"github.com/tx7do/kratos-transport/broker"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	"github.com/kratos-mqtt/kratos-mqtt/operator"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

var (
	_ operator.Retained = (*mqttbroker.Broker)(nil)
	_ operator.Retained = (*mqttserver.Server)(nil)
)

// declared has the event Save on plants/{name}, in a file that imports another one.
func declared(t *testing.T) *protoregistry.Files {
	t.Helper()
	f, err := files(t).FindFileByPath("plant.proto")
	if err != nil {
		t.Fatal(err)
	}
	plain := protodesc.ToFileDescriptorProto(f)
	plain.Service = nil
	options := new(descriptorpb.MethodOptions)
	proto.SetExtension(options, v1.E_Event, &v1.EventRule{Topic: "plants/{name}"})
	all := new(protoregistry.Files)
	for _, d := range []*descriptorpb.FileDescriptorProto{plain, {
		Name: new("events.proto"), Package: new("plant.v1"), Syntax: new("proto3"),
		Dependency: []string{"plant.proto", "google/protobuf/empty.proto", "kratosmqtt/v1/options.proto"},
		Service: []*descriptorpb.ServiceDescriptorProto{{Name: new("Plants"), Method: []*descriptorpb.MethodDescriptorProto{
			{Name: new("Save"), InputType: new(".plant.v1.Plant"), OutputType: new(".google.protobuf.Empty"), Options: options},
		}}},
	}} {
		file, err := protodesc.NewFile(d, resolver{all})
		if err != nil {
			t.Fatal(err)
		}
		if err := all.RegisterFile(file); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// resolver finds files in its own ones, and those of the program.
type resolver struct{ *protoregistry.Files }

func (r resolver) FindFileByPath(path string) (f protoreflect.FileDescriptor, err error) {
	if f, err = r.Files.FindFileByPath(path); err != nil {
		f, err = protoregistry.GlobalFiles.FindFileByPath(path)
	}
	return f, err
}

func (r resolver) FindDescriptorByName(name protoreflect.FullName) (d protoreflect.Descriptor, err error) {
	if d, err = r.Files.FindDescriptorByName(name); err != nil {
		d, err = protoregistry.GlobalFiles.FindDescriptorByName(name)
	}
	return d, err
}

// garden returns an operator for a broker that retains plants.
func garden(t *testing.T, url, protocol string, audit func(operator.Action)) *operator.Operator {
	t.Helper()
	opts := []broker.Option{broker.WithAddress(url), mqttbroker.WithProtocol(protocol), mqttbroker.WithKratosLogger(log.NewStdLogger(io.Discard))}
	b := mqttbroker.NewBroker(opts...)
	if err := b.Connect(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Disconnect() })
	p, err := mqttbroker.NewPublisher(opts...)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Stop(context.WithoutCancel(t.Context())) })
	for topic, payload := range map[string][]byte{"plants/fern": plant(), "plants/moss": {0xff}, "weeds/1": []byte("nettle")} {
		if err := p.Publish(t.Context(), topic, payload, event.Retain(true)); err != nil {
			t.Fatal(err)
		}
	}
	return operator.New(operator.Options{Retained: b, Files: declared(t), Audit: audit})
}

// The messages that a broker retains are decoded by their topics, and deleted, one line of the
// audit for each call.
func TestRetained(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"3.1.1", "5"} {
		for name, url := range map[string]string{"in-process": mqtttest.InProcess(t).URL(), "mosquitto": mqtttest.Mosquitto(t).URL()} {
			t.Run(name+" "+protocol, func(t *testing.T) {
				t.Parallel()
				var actions []operator.Action
				o := garden(t, url, protocol, func(a operator.Action) { actions = append(actions, a) })
				page, err := o.Retained(within(t), event.RetainedQuery{Filters: []string{"+/#"}})
				if err != nil || len(page.Messages) != 3 || page.Incomplete || page.Next != "" {
					t.Fatalf("%+v, %v", page, err)
				}
				fern, moss, weed := page.Messages[0], page.Messages[1], page.Messages[2]
				if fern.Operation != operation || fern.Decoder != "proto plant.v1.Plant" || !strings.Contains(fern.Text, `"9007199254740993"`) {
					t.Errorf("%+v", fern)
				}
				if moss.Decoder != "raw" || moss.Note == "" || weed.Operation != "" || weed.Text != "nettle" {
					t.Errorf("%+v, %+v", moss, weed)
				}
				all := operator.RetainedClear{Topics: []string{"plants/fern", "plants/none", "weeds/1", "weeds/1"}, By: "ann", DryRun: true}
				out, err := o.ClearRetained(within(t), all)
				if err != nil || out.Selected != 3 || out.Done != 0 || out.Failed != 1 || out.Problems[0].Topic != "plants/none" || !errors.Is(out.Problems[0].Err, operator.ErrNotRetained) {
					t.Errorf("%+v, %v", out, err)
				}
				all.DryRun = false
				if out, err = o.ClearRetained(within(t), all); err != nil || out.Selected != 3 || out.Done != 2 || out.Failed != 1 {
					t.Errorf("%+v, %v", out, err)
				}
				if page, err = o.Retained(within(t), event.RetainedQuery{Filters: []string{"#"}}); err != nil || len(page.Messages) != 1 || page.Messages[0].Topic != "plants/moss" {
					t.Errorf("%+v, %v", page, err)
				}
				if len(actions) != 2 || actions[0].Name != "clear-retained" || !actions[0].DryRun || actions[1].By != "ann" || actions[1].IDs != 3 ||
					!slices.Equal(actions[1].Topics, []string{"plants/fern", "plants/none", "weeds/1"}) || actions[1].Outcome.Done != 2 {
					t.Errorf("%+v", actions)
				}
			})
		}
	}
}

// A broker that acknowledges a deletion and does not permit it is found out.
func TestStillRetained(t *testing.T) {
	t.Parallel()
	o := operator.New(operator.Options{Retained: new(garden311)})
	out, err := o.ClearRetained(within(t), operator.RetainedClear{Topics: []string{"a", "b"}})
	if err != nil || out.Done != 0 || out.Failed != 2 || !errors.Is(out.Problems[0].Err, errRefused) || !errors.Is(out.Problems[1].Err, operator.ErrStillRetained) {
		t.Errorf("%+v, %v", out, err)
	}
}

// garden311 retains a and b for ever: it acknowledges the deletion of a, and refuses that of b.
type garden311 struct{}

var errRefused = errors.New("refused")

func (*garden311) Retained(_ context.Context, q event.RetainedQuery) (p event.RetainedPage, err error) {
	for _, topic := range q.Filters {
		var m event.RetainedMessage
		m.Topic = topic
		p.Messages = append(p.Messages, m)
	}
	return p, nil
}

func (*garden311) ClearRetained(_ context.Context, topic string) error {
	if topic == "b" {
		return errRefused
	}
	return nil
}

func TestRetainedRefuses(t *testing.T) {
	t.Parallel()
	none, some := operator.New(operator.Options{}), operator.New(operator.Options{Retained: new(garden311)})
	if _, err := none.Retained(within(t), event.RetainedQuery{}); !errors.Is(err, operator.ErrUnavailable) || !strings.Contains(err.Error(), "no retained messages") {
		t.Error(err)
	}
	if _, err := none.ClearRetained(within(t), operator.RetainedClear{Topics: []string{"a"}}); !errors.Is(err, operator.ErrUnavailable) || !strings.Contains(err.Error(), "no retained messages") {
		t.Error(err)
	}
	for _, topics := range [][]string{nil, {"a/#"}, {""}, make([]string, event.MaxRetained+1)} {
		if _, err := some.ClearRetained(within(t), operator.RetainedClear{Topics: topics}); !errors.Is(err, operator.ErrBadRequest) {
			t.Errorf("%d topics: %v", len(topics), err)
		}
	}
}

// The descriptors are complete: another program can build the files from them alone.
func TestDescriptors(t *testing.T) {
	t.Parallel()
	set := operator.New(operator.Options{Files: declared(t)}).Descriptors()
	var names []string
	for _, f := range set.GetFile() {
		names = append(names, f.GetName())
	}
	if want := "plant.proto google/protobuf/empty.proto google/protobuf/descriptor.proto"; !strings.HasPrefix(fmt.Sprint(strings.Join(names, " ")), want) || names[len(names)-1] != "events.proto" {
		t.Errorf("%v", names)
	}
	built, err := protodesc.NewFiles(set)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := built.FindDescriptorByName("plant.v1.Plants.Save"); err != nil {
		t.Error(err)
	}
}

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// Package contract tells changes of AsyncAPI documents that break who is on
// the other side from those that do not.
package contract

import (
	"fmt"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// Contract maps what a document promises to the value that it promises, such as
// "operation DeviceEvents.Report qos" to "1".
type Contract map[string]string

// Of reads the promises of an AsyncAPI document that protoc-gen-mqtt-asyncapi
// has written.
func Of(document []byte) (Contract, error) {
	var d struct {
		Channels   map[string]channel
		Operations map[string]operation
		Components struct {
			Messages map[string]message
			Schemas  map[string]schema
		}
	}
	if err := yaml.Unmarshal(document, &d); err != nil {
		return nil, err
	}
	c := make(Contract)
	for name, o := range d.Operations {
		at := "operation " + name + " "
		ch := d.Channels[last(o.Channel.Ref)]
		c[at+"action"] = o.Action
		c[at+"topic"] = ch.Address
		c[at+"filter"] = ch.Filter
		c[at+"qos"] = fmt.Sprint(o.Bindings.MQTT.QoS)
		c[at+"retain"] = fmt.Sprint(o.Bindings.MQTT.Retain)
		c.carries(at+"message", ch, d.Components.Messages)
		if o.Reply != nil {
			c.carries(at+"reply", d.Channels[last(o.Reply.Channel.Ref)], d.Components.Messages)
		}
	}
	for name, s := range d.Components.Schemas {
		for field, p := range s.Properties {
			c["field "+name+"."+field] = p.Protobuf
		}
		for _, value := range s.values() {
			c["value "+name+"."+value] = "yes"
		}
	}
	return c, nil
}

// carries notes the one message of a channel.
func (c Contract) carries(at string, ch channel, messages map[string]message) {
	for _, ref := range ch.Messages {
		m := messages[last(ref.Ref)]
		c[at] = m.Name + " as " + m.ContentType
	}
}

type reference struct {
	Ref string `yaml:"$ref"`
}

type channel struct {
	Address  string
	Filter   string `yaml:"x-mqtt-filter"`
	Messages map[string]reference
}

type operation struct {
	Action   string
	Channel  reference
	Reply    *struct{ Channel reference }
	Bindings struct {
		MQTT struct {
			QoS    int
			Retain bool
		}
	}
}

type message struct {
	Name        string
	ContentType string `yaml:"contentType"`
}

type schema struct {
	Properties map[string]struct {
		Protobuf string `yaml:"x-protobuf"`
	}
	Enum  []string
	AnyOf []struct{ Enum []string } `yaml:"anyOf"`
}

func (s schema) values() []string {
	all := slices.Clone(s.Enum)
	for _, one := range s.AnyOf {
		all = append(all, one.Enum...)
	}
	return all
}

// last is the last part of a reference.
func last(ref string) string { return ref[strings.LastIndexByte(ref, '/')+1:] }

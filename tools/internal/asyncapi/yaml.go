package asyncapi

import (
	"bytes"
	"fmt"

	"gopkg.in/yaml.v3"
)

// object is a YAML mapping that keeps the order in which members are added.
type object struct{ node yaml.Node }

func newObject() *object { return &object{yaml.Node{Kind: yaml.MappingNode}} }

// set adds a member. It leaves out nil, "" and empty objects and lists.
func (o *object) set(key string, value any) *object {
	n := toNode(value)
	if n == nil {
		return o
	}
	o.node.Content = append(o.node.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: key}, n)
	return o
}

func (o *object) empty() bool { return len(o.node.Content) == 0 }

// always is a value that is set even if it is empty.
type always struct{ value any }

func toNode(value any) *yaml.Node {
	switch v := value.(type) {
	case nil:
		return nil
	case always:
		return encode(v.value)
	case *object:
		if v == nil || v.empty() {
			return nil
		}
		return &v.node
	case []*object:
		if len(v) == 0 {
			return nil
		}
		list := &yaml.Node{Kind: yaml.SequenceNode}
		for _, o := range v {
			list.Content = append(list.Content, &o.node)
		}
		return list
	case string:
		if v == "" {
			return nil
		}
	case []string:
		if len(v) == 0 {
			return nil
		}
	}
	return encode(value)
}

func encode(value any) *yaml.Node {
	n := new(yaml.Node)
	if err := n.Encode(value); err != nil {
		n.SetString(fmt.Sprint(value)) // not used by this package
	}
	return n
}

func (o *object) marshal() ([]byte, error) {
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(&o.node); err != nil {
		return nil, err
	}
	return b.Bytes(), e.Close()
}

func ref(kind, name string) *object { return newObject().set("$ref", "#/"+kind+"/"+name) }

// Command protoc-gen-mqtt-asyncapi is a plugin of protoc and buf that writes AsyncAPI
// 3.0 documents for services whose methods have the options of
// kratosmqtt/v1/options.proto: one file for each package. Its parameters:
//
//	merge=true       one document for all packages; buf needs "strategy: all" for it
//	as=client        the document of the publisher; default: of the service
//	title=, version= of the document
//	server=          URL of a broker, mqtt://host:port
//	codecs=          registered Kratos codecs other than proto and json, separated by ;
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"

	"github.com/kratos-mqtt/kratos-mqtt/tools/internal/asyncapi"
)

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", filepath.Base(os.Args[0]), err)
		os.Exit(1)
	}
}

// run answers one request. Unlike protogen's own run function it does not require a
// go_package, which a document does not need.
func run(in io.Reader, out io.Writer) error {
	b, err := io.ReadAll(in)
	if err != nil {
		return err
	}
	request := new(pluginpb.CodeGeneratorRequest)
	if err := proto.Unmarshal(b, request); err != nil {
		return err
	}
	for _, f := range request.GetProtoFile() {
		if f.GetOptions().GetGoPackage() == "" {
			if f.Options == nil {
				f.Options = new(descriptorpb.FileOptions)
			}
			f.Options.GoPackage = new("document/" + f.GetName())
		}
	}
	var s asyncapi.Settings
	var flags flag.FlagSet
	flags.BoolVar(&s.Merge, "merge", false, "")
	flags.StringVar(&s.Title, "title", "", "")
	flags.StringVar(&s.Version, "version", "", "")
	flags.StringVar(&s.Server, "server", "", "")
	codecs := flags.String("codecs", "", "")
	as := flags.String("as", "server", "")
	plugin, err := protogen.Options{ParamFunc: flags.Set}.New(request)
	if err != nil {
		return err
	}
	if *as != "server" && *as != "client" {
		return fmt.Errorf("as=%s, want server or client", *as)
	}
	s.Client = *as == "client"
	s.Codecs = strings.FieldsFunc(*codecs, func(r rune) bool { return r == ';' })
	s.Sources = os.DirFS(".")
	if err := asyncapi.Generate(plugin, s); err != nil {
		plugin.Error(err)
	}
	answer, err := proto.Marshal(plugin.Response())
	if err != nil {
		return err
	}
	_, err = out.Write(answer)
	return err
}

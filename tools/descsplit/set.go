package main

import (
	"cmp"
	"slices"

	_ "google.golang.org/genproto/googleapis/api/annotations" // options that are read, and so written alike whichever compiler wrote them
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"

	_ "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1" // options, too
)

// setSuffix is the end of the names of descriptor sets.
const setSuffix = ".binpb"

// finishSet returns a descriptor set without go_package, which has the module path, and without
// what a change of unrelated lines or another compiler changes: of the source there are only the
// comments that belong to something. The files are in the order of their names.
func finishSet(src []byte) ([]byte, error) {
	set := new(descriptorpb.FileDescriptorSet)
	if err := proto.Unmarshal(src, set); err != nil {
		return nil, err
	}
	for _, f := range set.GetFile() {
		if f.Options != nil {
			f.Options.GoPackage = nil
		}
		f.SourceCodeInfo = &descriptorpb.SourceCodeInfo{Location: comments(f.GetSourceCodeInfo().GetLocation())}
	}
	slices.SortFunc(set.File, func(a, b *descriptorpb.FileDescriptorProto) int { return cmp.Compare(a.GetName(), b.GetName()) })
	return proto.MarshalOptions{Deterministic: true}.Marshal(set)
}

// comments returns the places that have a comment, without their lines and columns.
func comments(all []*descriptorpb.SourceCodeInfo_Location) (list []*descriptorpb.SourceCodeInfo_Location) {
	for _, l := range all {
		if l.LeadingComments != nil || l.TrailingComments != nil {
			list = append(list, &descriptorpb.SourceCodeInfo_Location{
				Path: l.Path, Span: []int32{0, 0, 0}, LeadingComments: l.LeadingComments, TrailingComments: l.TrailingComments,
			})
		}
	}
	slices.SortFunc(list, func(a, b *descriptorpb.SourceCodeInfo_Location) int { return slices.Compare(a.Path, b.Path) })
	return list
}

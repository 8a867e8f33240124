using FsCheck;
using FsCheck.Fluent;
using Mesh.ControlPlane.Model;
using Mesh.ControlPlane.Sources;

namespace Mesh.ControlPlane.Tests.Sources;

/// <summary>What the mesh writes into metadata it reads back, whatever it is; and nothing else is read as its own.</summary>
public sealed class MeshMetaTests
{
    [Fact]
    public void Any_label_comes_back() => Check.One(Config.QuickThrowOnFailure.WithMaxTest(2000), Prop.ForAll(ArbMap.Default.ArbFor<NonNull<string>>(), text =>
    {
        var key = MeshMeta.LabelKey(text.Get);
        Assert.Matches("^[A-Za-z0-9_-]*$", key);
        Assert.Equal(text.Get, Assert.Single(MeshMeta.ReadLabels(new Dictionary<string, string>(StringComparer.Ordinal) { [key] = "x" })).Key);
    }));

    [Theory]
    [InlineData("_")]
    [InlineData("a_zzzz")]
    [InlineData("_12")]
    [InlineData("_00e9_00")]
    public void A_key_that_others_wrote_is_taken_as_it_is_where_it_means_nothing(string key) =>
        Assert.Single(MeshMeta.ReadLabels(new Dictionary<string, string>(StringComparer.Ordinal) { ["mesh-label-" + key] = "x" }));

    [Theory]
    [InlineData("http")]
    [InlineData("http:80:http")]
    [InlineData("http:80:http:81:82")]
    [InlineData("http:0:http:81")]
    [InlineData("http:80:smtp:81")]
    [InlineData("http:80:http:+81")]
    [InlineData("http:80:http:81,")]
    public void Ports_that_are_none_are_none(string text) => Assert.Null(MeshMeta.ReadPorts(text));

    [Fact]
    public void Ports_come_back() => Assert.Equal<InstancePort>(
        [new("", 80, AppProtocol.Unknown, 81), new("grpc", 9090, AppProtocol.Grpc, 9091), new("h2", 1, AppProtocol.Http2, 65535)],
        MeshMeta.ReadPorts(MeshMeta.WritePorts([new("", 80, AppProtocol.Unknown, 81), new("grpc", 9090, AppProtocol.Grpc, 9091), new("h2", 1, AppProtocol.Http2, 65535)]))!.Value);
}

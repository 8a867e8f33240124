using System.Collections.Immutable;
using System.Text.Json;
using Mesh.ControlPlane.Model;
using Mesh.ControlPlane.Sources;
using Mesh.ControlPlane.Sources.Consul;

namespace Mesh.ControlPlane.Tests.Sources.Consul;

public sealed class EntryMappingTests
{
    [Theory]
    [InlineData("{}", "[]", AppProtocol.Unknown, "")]
    [InlineData("""{"protocol":"grpc","version":"v3"}""", """["http"]""", AppProtocol.Grpc, "v3")]
    [InlineData("{}", """["blue","http2","version=1.2"]""", AppProtocol.Http2, "1.2")]
    [InlineData("{}", """["v=2","tcp"]""", AppProtocol.Tcp, "2")]
    [InlineData("""{"protocol":"smtp"}""", """["http"]""", AppProtocol.Unknown, "")]
    public void Protocol_and_version_of_a_foreign_instance(string meta, string tags, AppProtocol protocol, string version)
    {
        var instance = Map($$"""[{"Node":{"Node":"n1","Address":"10.0.0.9"},"Service":{"ID":"a","Address":"","Port":80,"Meta":{{meta}},"Tags":{{tags}},"Weights":{"Passing":7,"Warning":2} },"Checks":[]}]""").Entries.Single().Instance;
        Assert.Equal((protocol, version, "10.0.0.9", 7, false), (instance.Ports.Single().Protocol, instance.Version, instance.Address, instance.Weight, instance.Meshed));
        Assert.Equal("n1/a", instance.Id);
        Assert.Equal("web", instance.Labels["app"]);
        Assert.Equal("consul:web", instance.Source.Location);
    }

    [Theory]
    [InlineData("passing", "passing", InstanceHealth.Passing, 7)]
    [InlineData("passing", "warning", InstanceHealth.Warning, 2)]
    [InlineData("critical", "warning", InstanceHealth.Critical, 7)]
    [InlineData("passing", "maintenance-or-new", InstanceHealth.Critical, 7)]
    public void The_worst_check_counts(string one, string other, InstanceHealth health, int weight)
    {
        var instance = Map($$"""[{"Node":{"Node":"n1","Address":"10.0.0.9"},"Service":{"ID":"a","Port":80,"Weights":{"Passing":7,"Warning":2} },"Checks":[{"Status":"{{one}}"},{"Status":"{{other}}"}]}]""").Entries.Single().Instance;
        Assert.Equal((health, weight), (instance.Health, instance.Weight));
    }

    [Theory]
    [InlineData("""{"Node":{"Node":"n1","Address":"10.0.0.9"},"Service":{"ID":"a","Port":0}}""", "no port")]
    [InlineData("""{"Node":{"Node":"n1","Address":""},"Service":{"ID":"a","Port":1}}""", "address")]
    [InlineData("""{"Node":{"Node":"n1","Address":"10.0.0.9"},"Service":{"ID":"a","Port":1,"Meta":{"mesh-namespace":"Bad_NS!"}}}""", "mesh-namespace")]
    [InlineData("""{"Node":{"Node":"n1","Address":"10.0.0.9"},"Service":{"ID":"a","Port":1,"Meta":{"external-source":"mesh"}}}""", "mesh-ports")]
    [InlineData("""{"Node":{"Node":"n1","Address":"10.0.0.9"},"Service":{"ID":"a","Port":1,"Meta":{"external-source":"mesh","mesh-ports":"http:99999:http:1"}}}""", "mesh-ports")]
    // An address that data planes do not take would make them refuse all clusters.
    [InlineData("""{"Node":{"Node":"n1","Address":"10.0.0.9"},"Service":{"ID":"a","Address":"http://web","Port":1}}""", "'http://web' is neither an IP address nor a host name")]
    [InlineData("""{"Node":{"Node":"n1","Address":"10.0.0.9"},"Service":{"ID":"a","Address":"web 1","Port":1}}""", "neither an IP address")]
    [InlineData("""{"Node":{"Node":"n1","Address":"[::1]"},"Service":{"ID":"a","Port":1}}""", "neither an IP address")]
    [InlineData("""{"Node":{"Node":"n1","Address":"bücher.example"},"Service":{"ID":"a","Port":1,"Meta":{"external-source":"mesh","mesh-ports":"http:80:http:80"}}}""", "neither an IP address")]
    public void What_cannot_be_used_is_left_out_with_a_reason(string record, string reason)
    {
        var view = Map($"[{record}]");
        Assert.Empty(view.Entries);
        var notice = Assert.Single(view.Notices);
        Assert.Contains(reason, notice.Text, StringComparison.Ordinal);
        Assert.Contains("'a'", notice.Text, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("null")]
    [InlineData("[]")]
    [InlineData("[null,{},{\"Node\":null}]")]
    [InlineData("""[{"Node":{"Node":"n1","Address":"1.1.1.1"},"Service":{"ID":"p","Kind":"connect-proxy","Port":1}}]""")]
    public void What_is_not_for_us_is_silence(string json)
    {
        var view = Map(json);
        Assert.Empty(view.Entries);
        Assert.Empty(view.Notices);
    }

    [Fact]
    public void An_external_source_other_than_the_mesh_is_foreign_and_kept()
    {
        var entry = Map("""[{"Node":{"Node":"n1","Address":"10.0.0.9"},"Service":{"ID":"a","Port":1,"Meta":{"external-source":"nomad"}}}]""").Entries.Single();
        Assert.Null(entry.Owner);
        Assert.False(entry.Instance.Meshed);
    }

    [Fact]
    public void A_workload_comes_back_as_it_was_written()
    {
        var instance = new Instance
        {
            Id = "web-1",
            Namespace = "shop",
            Service = "web",
            Address = "10.1.2.3",
            Ports = [new("http", 8080, AppProtocol.Http, 41000), new("", 9090, AppProtocol.Unknown, 41001)],
            Labels = ImmutableSortedDictionary<string, string>.Empty.Add("app", "web").Add("app.kubernetes.io/name", "w_e-b").Add("team_name", "x").Add("version", "v2"),
            Workload = "web-deployment",
            Version = "v2",
            Zone = "eu-1a",
            Health = InstanceHealth.Warning,
            Identity = "spiffe://cluster.local/ns/shop/sa/web",
            Meshed = true,
            Captured = true,
            MoreAddresses = ["2001:db8::7", "10.1.9.9"],
            Source = MeshMeta.Source("web", "shop"),
        };
        var meta = MeshMeta.Write(instance, "r1");
        Assert.All(meta, pair => Assert.Matches("^[A-Za-z0-9_-]{1,128}$", pair.Key));
        Assert.Equal("http:8080:http:41000,:9090::41001", meta["mesh-ports"]);
        var entry = EntryMapping.Map("web", [new HealthEntry(
            new ConsulNode { Name = "mesh-web-1", Address = "10.1.2.3" },
            new ConsulService { Id = "web-1", Name = "web", Address = "10.1.2.3", Port = 41000, Meta = meta, ModifyIndex = 12 },
            [new ConsulCheck { Status = "warning" }])]).Entries.Single();
        Assert.Equal(instance, entry.Instance);
        Assert.Equal(("r1", 12UL), (entry.Owner, entry.ModifyIndex));
    }

    [Theory]
    [InlineData("2001:db8::7,10.1.9.9", "2001:db8::7 10.1.9.9")]
    [InlineData("2001:DB8:0::7,,web,2001:db8::7", "2001:db8::7")]
    [InlineData("1.0.0.1,1.0.0.2,1.0.0.3,1.0.0.4,1.0.0.5,1.0.0.6,1.0.0.7,1.0.0.8", "1.0.0.1 1.0.0.2 1.0.0.3 1.0.0.4 1.0.0.5 1.0.0.6 1.0.0.7")]
    public void More_addresses_are_what_is_an_address_and_not_too_many(string said, string read) =>
        Assert.Equal(read, string.Join(' ', MeshMeta.ReadAddresses(new Dictionary<string, string> { ["mesh-addresses"] = said })));

    [Theory]
    [InlineData("mesh:web-1", "warning", "9090", InstanceHealth.Passing)]
    [InlineData("mesh:web-1", "critical", "9090", InstanceHealth.Critical)]
    [InlineData("mesh:web-1", "warning", "", InstanceHealth.Warning)]
    [InlineData("serfHealth", "warning", "9090", InstanceHealth.Warning)]
    [InlineData("mesh:web-1", "passing", "9090,x,-1,99999999,,7", InstanceHealth.Passing)]
    public void A_port_that_is_down_is_no_weakness_of_the_others(string check, string status, string down, InstanceHealth health)
    {
        var meta = new Dictionary<string, string> { ["external-source"] = "mesh", ["mesh-ports"] = "http:8080:http:41000,:9090::41001", ["mesh-ports-down"] = down };
        var instance = EntryMapping.Map("web", [new HealthEntry(
            new ConsulNode { Name = "mesh-web-1", Address = "10.1.2.3" },
            new ConsulService { Id = "web-1", Name = "web", Port = 41000, Meta = meta },
            [new ConsulCheck { Id = check, Status = status }])]).Entries.Single().Instance;
        Assert.Equal(health, instance.Health);
        Assert.Equal([false, down.Length > 0], instance.Ports.Select(port => port.IsDown));
    }

    [Theory]
    [InlineData("Web", "web")]
    [InlineData("my_service", "my_service")]
    [InlineData("a.b", null)]
    [InlineData("-a", null)]
    [InlineData("", null)]
    public void Names_of_consul_in_the_mesh(string consul, string? mesh) => Assert.Equal(mesh, EntryMapping.MeshName(consul));

    private static ServiceView Map(string json) => EntryMapping.Map("web", JsonSerializer.Deserialize(json, ConsulJson.Default.HealthEntryArray));
}

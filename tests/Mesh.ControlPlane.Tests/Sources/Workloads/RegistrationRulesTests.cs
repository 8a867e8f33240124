using Mesh.Api.V1;
using Mesh.ControlPlane.Model;
using Mesh.ControlPlane.Sources;
using Mesh.ControlPlane.Sources.Workloads;

namespace Mesh.ControlPlane.Tests.Sources.Workloads;

public sealed class RegistrationRulesTests
{
    public static TheoryData<string, Action<Registration>> Wrong => new()
    {
        { "id ''", r => r.Id = "" },
        { "id 'a~b'", r => r.Id = "a~b" },
        { "id '-a'", r => r.Id = "-a" },
        { "id 'xxxx", r => r.Id = new string('x', 101) },
        { "service 'Web'", r => r.Service = "Web" },
        { "service 'web.shop'", r => r.Service = "web.shop" },
        { "service 'xxxx", r => r.Service = new string('x', 64) },
        { "namespace 'a_b'", r => r.Namespace = "a_b" },
        { "version 'v 1'", r => r.Version = "v 1" },
        { "version 'v;1'", r => r.Version = "v;1" },
        { "zone 'ü'", r => r.Zone = "ü" },
        { "workload 'a\nb'", r => r.Workload = "a\nb" },
        { "address ''", r => r.Address = "" },
        { "address 'web.local'", r => r.Address = "web.local" },
        { "address '1'", r => r.Address = "1" },
        { "address '0x7f.0.0.1'", r => r.Address = "0x7f.0.0.1" },
        { "address '0.0.0.0'", r => r.Address = "0.0.0.0" },
        { "address '::'", r => r.Address = "::" },
        { "address '224.0.0.1'", r => r.Address = "224.0.0.1" },
        { "address 'ff02::1'", r => r.Address = "ff02::1" },
        { "address 'fe80::1%3'", r => r.Address = "fe80::1%3" },
        { "port 0 ", r => r.Ports[0].Port_ = 0 },
        { "port 65536 ", r => r.Ports[0].Port_ = 65536 },
        { "listen_port 0 ", r => r.Ports[0].ListenPort = 0 },
        { "listen_port 4294967295 ", r => r.Ports[0].ListenPort = uint.MaxValue },
        { "listen_address 'here'", r => r.Ports[0].ListenAddress = "here" },
        { "listen_port 41000 of port 8080: a captured workload", r => r.Captured = true },
        { "protocol 'smtp'", r => r.Ports[0].Protocol = "smtp" },
        { "name 'a:b'", r => r.Ports[0].Name = "a:b" },
        { "name 'sixteencharacter'", r => r.Ports[0].Name = "sixteencharacter" },
        { "port 8080 is named twice", r => r.Ports.Add(new Port { Port_ = 8080, ListenPort = 1 }) },
        { "two ports are named 'http'", r => r.Ports.Add(new Port { Port_ = 8081, ListenPort = 1, Name = "http" }) },
        { "13 ports", r => r.Ports.Add(Enumerable.Range(1, 12).Select(i => new Port { Port_ = (uint)i, ListenPort = 1 })) },
        { "8 more_addresses", r => More(r, [.. Enumerable.Range(1, 8).Select(i => $"10.0.0.{i}")]) },
        { "more_addresses: address 'web'", r => More(r, "web") },
        { "more_addresses: address '127.0.0.2'", r => More(r, "127.0.0.2") },
        { "more_addresses: address 'fe80::2'", r => More(r, "fe80::2") },
        { "more_addresses: address '::'", r => More(r, "::") },
        { "more_addresses: who is not captured", r => r.MoreAddresses.Add(new OwnAddress { Address = "10.0.0.2" }) },
        { "service '' is empty", r => r.Service = "" },
        { "service 'a.b'", r => (r.Service, r.Ports[0].Name) = ("a.b", "") },
        { "13 ports_down", r => r.PortsDown.Add(Enumerable.Range(1, 13).Select(i => (uint)i)) },
        { "33 labels", r => Many(r, 33) },
        { "label ''", r => r.Labels[""] = "x" },
        { "label 'a b'", r => r.Labels["a b"] = "x" },
        { "label '////", r => r.Labels[new string('/', 40)] = "x" },
        { "label 'a': its value", r => r.Labels["a"] = "x\ny" },
        { "label 'a': its value", r => r.Labels["a"] = new string('x', 257) },
    };

    [Theory]
    [MemberData(nameof(Wrong))]
    public void A_wrong_registration_is_refused_by_the_name_of_what_is_wrong(string words, Action<Registration> spoil)
    {
        var registration = TestWorkload.Registration("web-1", "web");
        spoil(registration);
        var problem = RegistrationRules.Check(registration, out var instance);
        Assert.Null(instance);
        Assert.StartsWith(words, problem, StringComparison.Ordinal);
        Assert.True(problem!.Length < 250, problem);
    }

    [Fact]
    public void A_good_registration_becomes_an_instance()
    {
        var registration = TestWorkload.Registration("web-1", "web");
        registration.Address = "2001:DB8::1";
        registration.Workload = "";
        registration.Health = Health.Types.State.Warning;
        Assert.Null(RegistrationRules.Check(registration, out var instance));
        Assert.Equal(("web-1", "default", "web", "2001:db8::1", "web", InstanceHealth.Warning, true),
            (instance!.Id, instance.Namespace, instance.Service, instance.Address, instance.Workload, instance.Health, instance.Meshed));
        Assert.Equal(["app=web", "team=a", "version=v1"], instance.Labels.Select(l => $"{l.Key}={l.Value}"));
        Assert.Equal(new InstancePort("http", 8080, AppProtocol.Http, 41000), instance.Ports.Single());
    }

    [Fact]
    public void A_captured_workload_is_dialled_at_its_own_ports_and_known_as_captured_everywhere()
    {
        var registration = TestWorkload.Registration("web-1", "web");
        (registration.Captured, registration.Ports[0].ListenPort) = (true, 8080);
        Assert.Null(RegistrationRules.Check(registration, out var instance));
        Assert.True(instance!.Captured);
        Assert.Equal(new InstancePort("http", 8080, AppProtocol.Http, 8080), instance.Ports.Single());
        Assert.Equal("all-ports", MeshMeta.Write(instance, "r1")[MeshMeta.Capture]);
        Assert.False(MeshMeta.Write(instance with { Captured = false }, "r1").ContainsKey(MeshMeta.Capture));
    }

    /// <summary>The largest registration that is taken must fit what Consul takes.</summary>
    [Fact]
    public void The_largest_registration_fits_into_metadata()
    {
        var registration = TestWorkload.Registration("web-1", "web");
        registration.Ports.Clear();
        for (uint i = 0; i < RegistrationRules.MaxPorts; i++) registration.Ports.Add(new Port { Name = $"fifteen-chars{i:00}", Port_ = 65000 + i, ListenPort = 65100 + i, Protocol = "http2" });
        registration.Labels.Clear();
        Many(registration, RegistrationRules.MaxLabels);
        registration.PortsDown.Add(registration.Ports.Select(port => port.Port_));
        Assert.Null(RegistrationRules.Check(registration, out var instance));
        var meta = MeshMeta.Write(instance! with { MoreAddresses = [.. Enumerable.Range(1, MeshMeta.MaxAddresses).Select(i => $"2001:db8:1111:2222:3333:4444:5555:{i:x4}")] }, "r1");
        Assert.True(meta.Count <= 64);
        Assert.All(meta, pair => Assert.True(pair.Key.Length <= MeshMeta.MaxKey && pair.Value.Length <= MeshMeta.MaxValue, pair.Key));
    }

    private static void More(Registration registration, params string[] addresses)
    {
        registration.Captured = true;
        registration.Ports[0].ListenPort = registration.Ports[0].Port_;
        registration.MoreAddresses.Add(addresses.Select(address => new OwnAddress { Address = address }));
    }

    private static void Many(Registration registration, int labels)
    {
        registration.Labels.Clear();
        for (var i = 0; i < labels; i++) registration.Labels[$"label/{i}"] = new string('x', 256);
    }
}

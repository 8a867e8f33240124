using System.Net;
using System.Net.Sockets;
using System.Text.Json;
using Mesh.Sidecar.Admin;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Listening;
using Mesh.Sidecar.Xds;

namespace Mesh.Sidecar.Tests;

/// <summary>What is bound before anything else, and what others are told of it.</summary>
public sealed class BindingsTests : IDisposable
{
    private readonly BoundSockets sockets = new();

    public void Dispose() => sockets.Dispose();

    [Fact]
    public void A_captured_workload_listens_on_both_families()
    {
        var workload = Bind("--port", "8080:http", "--address", "10.0.0.7");
        var capture = workload.Capture!;
        foreach (var bound in new[] { capture.Outbound, capture.Inbound, capture.Dns })
        {
            Assert.Equal([AddressFamily.InterNetwork, AddressFamily.InterNetworkV6], bound.Select(address => address.AddressFamily));
            Assert.Equal(bound[0].Port, bound[1].Port);
            Assert.NotEqual(0, bound[0].Port);
        }

        Assert.All(capture.Outbound.Concat(capture.Dns), address => Assert.True(IPAddress.IsLoopback(address.Address)));
        Assert.Equal([IPAddress.Any, IPAddress.IPv6Any], capture.Inbound.Select(address => address.Address));
        Assert.Equal(capture.Outbound[0], workload.Outbound);
        Assert.Null(workload.Ports.Single().Listen);
        Assert.Equal("10.0.0.7:8080", workload.Application(workload.Ports.Single()).ToString());

        // A socket that is taken, closed and taken again must not claim IPv4, which has its own.
        foreach (var address in capture.Inbound) sockets.Take("again", address).Dispose();
        foreach (var address in capture.Inbound)
        {
            using var again = sockets.Take("again", address);
            Assert.Equal(address, again.LocalEndPoint);
            using var client = new Socket(address.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
            client.Connect(address.AddressFamily == AddressFamily.InterNetwork ? IPAddress.Loopback : IPAddress.IPv6Loopback, address.Port);
        }

        foreach (var address in capture.Dns)
        {
            using var server = sockets.TakeDatagrams("dns", address);
            Assert.Equal(address, server.LocalEndPoint);
        }
    }

    [Fact]
    public void A_taken_port_is_said()
    {
        using var other = new TcpListener(IPAddress.IPv6Loopback, 0);
        other.Start();
        var port = ((IPEndPoint)other.LocalEndpoint).Port;
        var error = Assert.Throws<IOException>(() => Bind("--dns", $"{port}"));
        Assert.Equal($"--dns: cannot listen on [::1]:{port}: the port is taken by another program; choose another, or port 0 for a free one", error.Message);
    }

    [Fact]
    public void The_node_says_where_traffic_is_captured()
    {
        var workload = Bind("--port", "8080:http", "--address", "10.0.0.7");
        var capture = workload.Capture!;
        var mesh = NodeDescription.Of(workload, "1").Metadata.Fields["mesh"].StructValue;
        using var json = JsonDocument.Parse(mesh.Fields["capture"].StructValue.ToString());
        var said = json.RootElement;
        Assert.Equal(("redirect", true), (said.GetProperty("mode").GetString(), said.GetProperty("dns").GetBoolean()));
        Assert.Equal(capture.Outbound.Select(a => a.ToString()), said.GetProperty("outbound").EnumerateArray().Select(a => a.GetString()));
        Assert.Equal(capture.Inbound.Select(a => a.ToString()), said.GetProperty("inbound").EnumerateArray().Select(a => a.GetString()));
        Assert.False(mesh.Fields["ports"].ListValue.Values[0].StructValue.Fields.ContainsKey("listen"));
        Assert.Equal(capture.Outbound[0].ToString(), mesh.Fields["outbound"].StringValue);
    }

    [Fact]
    public void The_ports_file_has_them()
    {
        var workload = Bind();
        var path = Path.GetTempFileName();
        Bindings.Write(path, workload, new AdminAddresses(null, null, null));
        using var json = JsonDocument.Parse(File.ReadAllText(path));
        File.Delete(path);
        Assert.Equal(workload.Capture!.Inbound.Select(a => a.ToString()), json.RootElement.GetProperty("capture").GetProperty("inbound").EnumerateArray().Select(a => a.GetString()));
    }

    [Fact]
    public void Dns_can_be_left_alone()
    {
        var workload = Bind("--dns", "off");
        Assert.Empty(workload.Capture!.Dns);
        Assert.False(NodeDescription.Of(workload, "1").Metadata.Fields["mesh"].StructValue.Fields["capture"].StructValue.Fields["dns"].BoolValue);
    }

    private Workload Bind(params string[] more)
    {
        string[] dns = more.Contains("--dns") ? [] : ["--dns", "0"];
        var (flags, errors) = FlagParser.Parse(["--control-plane", "a:1", "--service", "web", "--capture", "redirect", "--inbound-capture", "0", "--outbound", "0", .. dns, .. more]);
        Assert.Empty(errors);
        return Bindings.Bind(flags, sockets, () => "web-1");
    }
}

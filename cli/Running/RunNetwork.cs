using System.Globalization;
using System.Net;

namespace Mesh.Cli.Running;

/// <summary>
/// The network of captured runs on this host: a bridge that all share, an address each, the way out by masquerading. Kept in /run while runs are there;
/// the last one takes it away. What a killed run left is removed by the next. Changes are made under a lock of the host.
/// </summary>
internal static class RunNetwork
{
    /// <summary>This host's address on the bridge.</summary>
    public const string HostAddress = Prefix + "1";

    private const string Prefix = "10.213.77.";
    private const string Prefix6 = "fdd5:6d65:7368::";
    private const string Bridge = "mesh-run0";
    private const string Folder = "/run/mesh-run";
    private const string Forwarding = "/proc/sys/net/ipv4/ip_forward";
    private const int Most = 254;
    private static readonly string ForwardingBefore = Path.Combine(Folder, $"ip_forward-{Here}");
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    /// <summary>The network namespace that this process is in, as the kernel numbers it: its files of /run may be others', too.</summary>
    public static string Here => string.Concat(new FileInfo("/proc/self/ns/net").LinkTarget!.Where(char.IsAsciiDigit));

    /// <summary>Makes a namespace with a place in the network. Its number is its address's last part.</summary>
    public static int Join()
    {
        using var locked = Lock();
        RemoveDead();
        Lay();
        var number = Enumerable.Range(2, Most - 1).FirstOrDefault(n => !File.Exists(Member(n)));
        if (number == 0)
            throw new CliException($"all {Most - 1} addresses of captured runs are taken: {Folder}");
        File.WriteAllLines(Member(number), [$"{ProcessMark.Of(Environment.ProcessId)}", Here]);
        try
        {
            Connect(number);
        }
        catch
        {
            Remove(number);
            throw;
        }

        return number;
    }

    /// <summary>Takes a namespace away, and with the last one the network.</summary>
    public static void Leave(int number)
    {
        using var locked = Lock();
        Remove(number);
        RemoveDead();
        if (!Members().Any(member => File.ReadLines(Member(member)).LastOrDefault() == Here))
            TakeUp();
    }

    /// <summary>Name of the namespace of a number.</summary>
    public static string Name(int number) => $"mesh-run-{number}";

    /// <summary>IPv4 address of a number.</summary>
    public static string Address(int number) => Prefix + number.ToString(CultureInfo.InvariantCulture);

    /// <summary>IPv6 address of a number, where the host has IPv6.</summary>
    public static string Address6(int number) => $"{Prefix6}{number:x}";

    private static void Connect(int number)
    {
        var (name, cable) = (Name(number), $"mesh-run-{number}");
        ExternalProgram.Must("ip", ["netns", "add", name]);
        ExternalProgram.Must("ip", ["link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", name]);
        ExternalProgram.Must("ip", ["-batch", "-"], $"link set {cable} master {Bridge}\nlink set {cable} up\n");
        ExternalProgram.Must("ip", ["-n", name, "-batch", "-"], $"link set lo up\naddr add {Address(number)}/24 dev eth0\nlink set eth0 up\nroute add default via {HostAddress}\n");
        // Where there is no IPv6 the rest works.
        ExternalProgram.Run("ip", ["-n", name, "addr", "add", $"{Address6(number)}/64", "dev", "eth0", "nodad"]);
        WriteResolvConf(name);
    }

    /// <summary>A resolver on this host's loopback cannot be reached from inside: those it asks itself are named instead, where they are known.</summary>
    private static void WriteResolvConf(string name)
    {
        const string upstream = "/run/systemd/resolve/resolv.conf";
        var text = ResolvConf(File.Exists("/etc/resolv.conf") ? File.ReadAllText("/etc/resolv.conf") : "", File.Exists(upstream) ? File.ReadAllText(upstream) : null);
        Directory.CreateDirectory($"/etc/netns/{name}");
        File.WriteAllText($"/etc/netns/{name}/resolv.conf", text);
    }

    /// <summary>The resolv.conf for inside, of this host's and, where there is one, that of its local resolver.</summary>
    internal static string ResolvConf(string own, string? upstream)
    {
        var servers = own.Split('\n').Select(line => line.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries)).Where(words => words is ["nameserver", _, ..]).Select(words => words[1]).ToList();
        if (upstream is not null && servers.TrueForAll(server => IPAddress.TryParse(server, out var address) && IPAddress.IsLoopback(address)))
            return upstream;
        // Somebody has to be asked, so that the sidecar can answer.
        return servers.Count > 0 ? own : $"nameserver {HostAddress}\n" + own;
    }

    private static void Lay()
    {
        // Not by /sys, which may be that of another network namespace.
        if (ExternalProgram.Run("ip", ["link", "show", Bridge]).Code == 0)
            return;
        ExternalProgram.Must("ip", ["-batch", "-"], $"link add {Bridge} type bridge mcast_snooping 0\naddr add {HostAddress}/24 dev {Bridge}\nlink set {Bridge} up\n");
        ExternalProgram.Run("ip", ["addr", "add", $"{Prefix6}1/64", "dev", Bridge, "nodad"]);
        var rules = $"table ip mesh-run {{ chain out {{ type nat hook postrouting priority 100; ip saddr {Prefix}0/24 oifname != \"{Bridge}\" masquerade; }}; }}";
        if (ExternalProgram.Run("nft", ["-f", "-"], rules) is { Code: not 0 } failed)
        {
            Console.Error.WriteLine($"meshctl: programs in network namespaces reach this host and each other, but not the world: {failed.Said.Trim()}");
            return;
        }

        var before = File.ReadAllText(Forwarding).Trim();
        File.WriteAllText(ForwardingBefore, before);
        if (before == "0")
            File.WriteAllText(Forwarding, "1");
    }

    private static void TakeUp()
    {
        ExternalProgram.Run("ip", ["link", "del", Bridge]);
        ExternalProgram.Run("nft", ["delete", "table", "ip", "mesh-run"]);
        if (!File.Exists(ForwardingBefore))
            return;
        if (File.ReadAllText(ForwardingBefore) == "0")
            File.WriteAllText(Forwarding, "0");
        File.Delete(ForwardingBefore);
    }

    private static void Remove(int number)
    {
        // What a killed run left running would keep the namespace, and nobody looks after it.
        foreach (var left in ExternalProgram.Run("ip", ["netns", "pids", Name(number)]).Said.Split('\n').Select(line => int.TryParse(line, CultureInfo.InvariantCulture, out var id) ? id : 0).Where(id => id > 0))
            Signals.Send(left, Signals.Kill);
        ExternalProgram.Run("ip", ["netns", "del", Name(number)]);
        // A namespace lives until the last process in it has gone; its cable need not.
        ExternalProgram.Run("ip", ["link", "del", $"mesh-run-{number}"]);
        if (Directory.Exists($"/etc/netns/{Name(number)}"))
            Directory.Delete($"/etc/netns/{Name(number)}", recursive: true);
        File.Delete(Member(number));
    }

    private static void RemoveDead()
    {
        foreach (var dead in Members().Where(member => !IsAlive(member)).ToList())
            Remove(dead);
    }

    private static IEnumerable<int> Members() =>
        Directory.EnumerateFiles(Folder, "run-*").Select(path => int.Parse(Path.GetFileName(path).AsSpan(4), CultureInfo.InvariantCulture));

    private static bool IsAlive(int number) => ProcessMark.Parse(File.ReadLines(Member(number)).FirstOrDefault() ?? "") is { IsAlive: true };

    private static string Member(int number) => Path.Combine(Folder, $"run-{number}");

    /// <summary>Runs that start and end at one moment do so one after the other.</summary>
    private static FileStream Lock()
    {
        Directory.CreateDirectory(Folder);
        var until = Environment.TickCount64 + (long)Patience.TotalMilliseconds;
        while (true)
        {
            try
            {
                return new FileStream(Path.Combine(Folder, "lock"), FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
            }
            catch (IOException) when (Environment.TickCount64 < until)
            {
                Thread.Sleep(20);
            }
            catch (IOException e)
            {
                throw new CliException($"somebody holds {Folder}/lock: {e.Message}");
            }
        }
    }
}

using Mesh.Benchmarks;

if (args is ["--stream", _, _, _]) return StreamLoad.Run(args);
var json = args.Contains("--json");
var only = Value("--only");
var rounds = int.Parse(Value("--rounds") ?? "5");
var seconds = int.Parse(Value("--seconds") ?? "5");
string[] known = [HopHttp1.Name, MtlsPair.Name, RbacHop.Name, ConfigPush.Name, Detection.Name, TcpPair.Name, Connections.Name, CaptureCost.Name];
if (only is not null && !known.Contains(only))
{
    Console.Error.WriteLine($"no bench '{only}'; there are: {string.Join(' ', known)}");
    return 2;
}

var figures = Enumerable.Empty<Figure>();
if (only is null or HopHttp1.Name) figures = figures.Concat(new HopHttp1(rounds, seconds).Run());
if (only is null or MtlsPair.Name) figures = figures.Concat(new MtlsPair(rounds, seconds).Run());
if (only is null or RbacHop.Name) figures = figures.Concat(new RbacHop(rounds, seconds).Run());
if (only is null or RbacHop.Name) figures = figures.Concat(new RbacDecision(rounds).Run());
if (only is null or ConfigPush.Name) figures = figures.Concat(await new ConfigPush(rounds).RunAsync());
if (only is null or Detection.Name) figures = figures.Concat(new Detection(rounds).Run());
if (only is null or TcpPair.Name) figures = figures.Concat(new TcpPair(rounds, seconds).Run());
if (only is null or Connections.Name) figures = figures.Concat(new Connections(rounds, seconds).Run());
if (only is null or CaptureCost.Name) figures = figures.Concat(new CaptureCost(rounds, seconds).Run());
var all = figures.ToList();
foreach (var figure in all) Console.WriteLine(json ? figure.ToJson() : figure.ToRow());
if (args.Contains("--markdown")) Console.WriteLine('\n' + string.Join('\n', Figure.ToMarkdown(all)));
return 0;

string? Value(string name)
{
    var at = Array.IndexOf(args, name);
    return at >= 0 && at + 1 < args.Length ? args[at + 1] : null;
}

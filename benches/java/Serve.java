import com.alibaba.otter.canal.common.zookeeper.running.ServerRunningData;
import com.alibaba.otter.canal.common.zookeeper.running.ServerRunningListener;
import com.alibaba.otter.canal.common.zookeeper.running.ServerRunningMonitor;
import com.alibaba.otter.canal.common.zookeeper.running.ServerRunningMonitors;
import com.alibaba.otter.canal.instance.core.CanalInstance;
import com.alibaba.otter.canal.instance.manager.CanalInstanceWithManager;
import com.alibaba.otter.canal.instance.manager.model.Canal;
import com.alibaba.otter.canal.instance.manager.model.CanalParameter;
import com.alibaba.otter.canal.instance.manager.model.CanalParameter.DataSourcing;
import com.alibaba.otter.canal.instance.manager.model.CanalParameter.IndexMode;
import com.alibaba.otter.canal.instance.manager.model.CanalParameter.MetaMode;
import com.alibaba.otter.canal.instance.manager.model.CanalParameter.SourcingType;
import com.alibaba.otter.canal.server.embedded.CanalServerWithEmbedded;
import com.alibaba.otter.canal.server.netty.CanalServerWithNetty;
import java.net.InetSocketAddress;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

/** The Java server with one destination, standing alone: shipped settings, cursors in memory, parallel parsing. */
public final class Serve {
    private static final String HOST = "127.0.0.1";

    public static void main(String[] arguments) throws Exception {
        int port = Integer.parseInt(arguments[0]);
        String destination = arguments[1];
        CanalServerWithEmbedded embedded = CanalServerWithEmbedded.instance();
        embedded.setMetricsPort(-1);
        embedded.setCanalInstanceGenerator(name -> instance(name, arguments));
        ServerRunningData data = new ServerRunningData(HOST + ":" + port);
        ServerRunningMonitors.setServerData(data);
        ServerRunningMonitor monitor = new ServerRunningMonitor(data);
        monitor.setDestination(destination);
        monitor.setListener(new ServerRunningListener() {
            public void processStart() {}
            public void processStop() {}
            public void processActiveEnter() { embedded.start(destination); }
            public void processActiveExit() { embedded.stop(destination); }
        });
        monitor.init();
        Map<String, ServerRunningMonitor> monitors = new ConcurrentHashMap<>();
        monitors.put(destination, monitor);
        ServerRunningMonitors.setRunningMonitors(monitors);
        embedded.start();
        monitor.start();
        CanalServerWithNetty netty = CanalServerWithNetty.instance();
        netty.setIp(HOST);
        netty.setPort(port);
        netty.start();
        System.out.println("READY");
        Thread.currentThread().join();
    }

    private static CanalInstance instance(String destination, String[] arguments) {
        CanalParameter parameter = new CanalParameter();
        parameter.setMetaMode(MetaMode.MEMORY);
        parameter.setIndexMode(IndexMode.MEMORY_META_FAILBACK);
        parameter.setParallel(true);
        parameter.setGtidEnable(false);
        parameter.setDetectingEnable(false);
        parameter.setSlaveId(990102L);
        parameter.setDefaultDatabaseName("");
        parameter.setConnectionCharset("UTF-8");
        parameter.setDbUsername(arguments[3]);
        parameter.setDbPassword(arguments[4]);
        InetSocketAddress database = new InetSocketAddress(HOST, Integer.parseInt(arguments[2]));
        parameter.setGroupDbAddresses(List.of(List.of(new DataSourcing(SourcingType.MYSQL, database))));
        parameter.setPositions(List.of(String.format(
            "{\"journalName\":\"%s\",\"position\":%s,\"timestamp\":0}", arguments[5], arguments[6])));
        Canal canal = new Canal();
        canal.setId(1L);
        canal.setName(destination);
        canal.setCanalParameter(parameter);
        return new CanalInstanceWithManager(canal, ".*\\..*");
    }
}
